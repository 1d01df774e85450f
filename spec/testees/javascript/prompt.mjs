// Chapter 08, Prompts: a stranger's text enters a prompt only as delimited data.

/** So that `<eos>` or `[INST]` in data stays text. */
const defuse = (text) => text.replace(/<(?! )|\[(?=[A-Z/]|$)/g, '$& ');

/** TASK-9 */
const renderLine = (text) =>
  defuse(text.replace(/[\u0000-\u0020\u007f-\u00a0\u2028\u2029]+/g, ' ').replace(/^ /, '').replace(/ $/, ''));

/** TASK-10 */
function renderBlock(name, text) {
  const plain = text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '').replace(/>{3,}/g, '>>');
  return `<<<${name}\n${defuse(plain)}\n>>>${name}`;
}

/** The prompt of a stage; `sources` maps the name of each source to its text. */
export const renderPrompt = (parts, sources) =>
  parts.map((part) => {
    if (part.part === 'text') return part.text;
    const text = sources.get(part.source);
    return part.form === 'line' ? renderLine(text) : renderBlock(part.source, text);
  }).join('');
