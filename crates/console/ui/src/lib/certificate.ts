// When a certificate ends, and which names it has: the few fields of X.509 that a list shows, read from PEM.

interface Piece {
  tag: number;
  from: number;
  to: number;
}

const pieceAt = (bytes: Uint8Array, at: number): Piece | undefined => {
  const tag = bytes[at];
  let length = bytes[at + 1];
  if (tag === undefined || length === undefined) return undefined;
  let from = at + 2;
  if (length & 0x80) {
    const digits = length & 0x7f;
    if (digits === 0 || digits > 4) return undefined;
    length = 0;
    for (let digit = 0; digit < digits; digit += 1) length = length * 256 + (bytes[from + digit] ?? 0);
    from += digits;
  }
  const to = from + length;
  return to <= bytes.length ? { tag, from, to } : undefined;
};

const piecesIn = (bytes: Uint8Array, around: Piece): Piece[] => {
  const found: Piece[] = [];
  let at = around.from;
  while (at < around.to) {
    const piece = pieceAt(bytes, at);
    if (!piece) break;
    found.push(piece);
    at = piece.to;
  }
  return found;
};

const time = (bytes: Uint8Array, piece: Piece): number | undefined => {
  const text = String.fromCharCode(...bytes.slice(piece.from, piece.to));
  // UTCTime has two digits of the year, which stand for 1950 to 2049.
  const short = /^(\d{2})(\d{10})Z$/.exec(text);
  const whole = short ? `${Number(short[1]) < 50 ? '20' : '19'}${short[1]}${short[2]}` : text.slice(0, 14);
  const parts = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})$/.exec(whole);
  if (!parts) return undefined;
  const [year, month, day, hour, minute, second] = parts.slice(1).map(Number);
  return Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second);
};

/** When the first certificate of a PEM text ends, in milliseconds since 1970. */
export const endOf = (pem: unknown): number | undefined => {
  if (typeof pem !== 'string') return undefined;
  const body = /-----BEGIN CERTIFICATE-----([\s\S]*?)-----END CERTIFICATE-----/.exec(pem)?.[1];
  if (!body) return undefined;
  try {
    const bytes = Uint8Array.from(atob(body.replace(/\s/g, '')), (letter) => letter.charCodeAt(0));
    const outer = pieceAt(bytes, 0);
    const inner = outer && piecesIn(bytes, outer)[0];
    if (!inner) return undefined;
    // Behind the version, which may be missing: number, algorithm, issuer, validity.
    const members = piecesIn(bytes, inner).filter((piece) => piece.tag !== 0xa0);
    const validity = members[3] && piecesIn(bytes, members[3]);
    return validity?.[1] && time(bytes, validity[1]);
  } catch {
    return undefined;
  }
};
