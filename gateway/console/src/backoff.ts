// Waits between attempts: at least half of a bound that doubles; the rest is drawn, so that pages do not come at once.
const FIRST_MS = 400;
const LONGEST_MS = 15_000;

export class Backoff {
  private attempts = 0;

  reset(): void {
    this.attempts = 0;
  }

  next(atLeastMs = 0): number {
    const bound = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.attempts++);
    return Math.max(atLeastMs, bound / 2 + (Math.random() * bound) / 2);
  }
}

/** Waits until the time has passed or `wake` is called. */
export function pause(milliseconds: number): { over: Promise<void>; wake: () => void } {
  let wake = (): void => {};
  const over = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
  return { over, wake };
}
