/**
 * What a reader has chosen on this page, kept until its tab is closed. A page in a notebook's frame may have no storage; there a
 * choice lasts until the page is loaded again.
 */

export function remember(name: string, value: string): void {
  try {
    sessionStorage.setItem(keyOf(name), value);
  } catch {
    // no storage, or none is allowed
  }
}

/** What was remembered, if it is one of `allowed`; otherwise null. */
export function remembered<Value extends string>(name: string, allowed: readonly Value[]): Value | null {
  try {
    const found = sessionStorage.getItem(keyOf(name));
    return allowed.find((each) => each === found) ?? null;
  } catch {
    return null;
  }
}

/** All pages that are opened from files can share one storage, so the page's own address is part of the name. */
function keyOf(name: string): string {
  return `liuli ${location.pathname} ${name}`;
}
