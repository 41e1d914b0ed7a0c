/** A point of virtual time: `00:10:00`, with tenths where they matter: `00:10:03.2`. */
export function clockText(ms: number, decimals = 0): string {
  const tenth = Math.round(ms / 100);
  const seconds = decimals > 0 ? tenth / 10 : Math.round(ms / 1000);
  const whole = Math.floor(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  const fraction = decimals > 0 ? `.${tenth % 10}` : "";
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}${fraction}`;
}

/** A length of time with a unit that fits: `12 ms`, `1.2 s`, `34 s`, `5 min`, `1 h 30 min`. */
export function durationText(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${trimmed(ms / 1000)} s`;
  if (ms < 59_500) return `${Math.round(ms / 1000)} s`;
  if (ms < 3_570_000) {
    const minutes = ms / 60_000;
    return minutes < 9.95 ? `${trimmed(minutes)} min` : `${Math.round(minutes)} min`;
  }
  const minutes = Math.round(ms / 60_000);
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function trimmed(value: number): string {
  return value.toFixed(1).replace(/\.0$/, "");
}
