/** A secret as it is, and as it might be carried. */
export function disguises(secret: string): string[] {
  const bytes = Buffer.from(secret);
  // Inside of a longer text base64 begins at any of three places; its middle is the same at each.
  const base64 = ([0, 1, 2] as const).flatMap((shift) => {
    const shifted = Buffer.concat([Buffer.alloc(shift), bytes]);
    return [shifted.toString("base64").slice(4, -4), shifted.toString("base64url").slice(4, -4)];
  });
  return [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1), bytes.toString("hex"), ...base64];
}
