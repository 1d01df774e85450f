// JSON that comes out as it went in. A parsed and written again event must not lose what JavaScript's own objects
// and numbers do not keep (the order of keys like "1", the text of 1.0 and of great numbers), at any depth.

const PUNCTUATION = '{}[]:,';
const WHITE = ' \t\n\r';

/** A number by its text. */
class Numeral {
  constructor(text) {
    this.text = text;
  }
}

/** The value of a JSON text: objects as Maps, of equal members the last. Throws a SyntaxError. */
export function parseOrdered(text) {
  JSON.parse(text); // so all that follows may take it for JSON
  const root = [];
  const stack = [{ container: root }];
  for (const token of tokens(text)) {
    const top = stack.at(-1);
    if (token === '}' || token === ']') {
      stack.pop();
    } else if (top.container instanceof Map && top.key === undefined) {
      if (token !== ',') top.key = JSON.parse(token);
    } else if (token !== ',' && token !== ':') {
      const value = valueOf(token);
      if (top.container instanceof Map) top.container.set(top.key, value);
      else top.container.push(value);
      top.key = undefined;
      if (token === '{' || token === '[') stack.push({ container: value });
    }
  }
  return root[0];
}

function valueOf(token) {
  if (token === '{') return new Map();
  if (token === '[') return [];
  return /^[-0-9]/.test(token) ? new Numeral(token) : JSON.parse(token);
}

function* tokens(text) {
  for (let at = 0; at < text.length; ) {
    const start = at;
    if (text[at] === '"') {
      do at += text[at] === '\\' ? 2 : 1; while (text[at] !== '"');
      at += 1;
    } else if (PUNCTUATION.includes(text[at]) || WHITE.includes(text[at])) {
      at += 1;
    } else {
      while (at < text.length && !PUNCTUATION.includes(text[at]) && !WHITE.includes(text[at])) at += 1;
    }
    if (!WHITE.includes(text[start])) yield text.slice(start, at);
  }
}

/** JSON text without white space and with only those escapes that JSON demands. */
export function writeOrdered(value) {
  const out = [];
  const todo = [value]; // values yet to write, and as functions what stands between them; the next one last
  const put = (text) => () => out.push(text);
  while (todo.length > 0) {
    const item = todo.pop();
    if (typeof item === 'function') item();
    else if (item instanceof Numeral) out.push(item.text);
    else if (item instanceof Map) {
      const members = [...item].flatMap(([key, member], index) =>
        [put(`${index ? ',' : '{'}${JSON.stringify(key)}:`), member]);
      todo.push(put(item.size ? '}' : '{}'), ...members.reverse());
    } else if (Array.isArray(item)) {
      const items = item.flatMap((each, index) => [put(index ? ',' : '['), each]);
      todo.push(put(item.length ? ']' : '[]'), ...items.reverse());
    } else out.push(JSON.stringify(item));
  }
  return out.join('');
}
