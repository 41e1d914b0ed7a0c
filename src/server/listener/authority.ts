/** A name, an IPv4 address or an IPv6 literal in brackets, then perhaps a port. User, path and blanks have no place here. */
const shape = /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{0,5}))?$/;
const longest = 300;

/**
 * Whether a `Host` or `:authority` names a host. Whatever passes can be made part of a URL: one that cannot would throw in the
 * middle of whoever tries, and take the process with it. Never throws itself.
 */
export function isAuthority(text: string): boolean {
  const match = text.length <= longest ? shape.exec(text) : null;
  return match !== null && Number(match[1] ?? 0) <= 65_535 && URL.canParse(`http://${text}/`);
}
