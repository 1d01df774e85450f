// What chapters 04 and 05 have to know of edwards25519 because OpenSSL does not check it.

export const P = 2n ** 255n - 19n;
/** The group order. */
export const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;

const LOW_ORDER_Y = new Set([
  0n,
  1n,
  P - 1n,
  2707385501144840649318225287225658788936804267575313519463743609750303402022n,
  55188659117513257062467267217118295137698188065244968500265048394206261417927n,
]);

/** The y of an encoded point, as written: it may be P or more. */
export const yOf = (bytes) => littleEndian(bytes) & (2n ** 255n - 1n);

export const isOfLowOrder = (y) => LOW_ORDER_Y.has(y >= P ? y - P : y);

/** Whether a point of the curve has this y: whether (y^2-1) / (d y^2+1) is a square. */
export function isOnCurve(y) {
  const square = (y * y) % P;
  return power((square - 1n) * (D * square + 1n), (P - 1n) / 2n) === 1n;
}

function power(base, exponent) {
  let result = 1n;
  let factor = base % P;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * factor) % P;
    factor = (factor * factor) % P;
  }
  return result;
}

/** The number that little-endian bytes are. */
export const littleEndian = (bytes) => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
