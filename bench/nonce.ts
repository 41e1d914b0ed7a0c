/** How every nonce begins, so that whoever receives it finds it without parsing. */
export const nonceMark = "nonce:";

/** Characters of a nonce, its mark included: fixed, so that it can be written into bytes encoded beforehand. */
export const nonceLength = nonceMark.length + 8;

/** A nonce of no call, for payloads that are encoded once and filled in for each call. */
export const nonceBlank = `${nonceMark}--------`;

let count = 0;

/** A nonce that no other call of this process bears. */
export function nextNonce(): string {
  return nonceMark + (count++).toString(36).padStart(8, "0");
}
