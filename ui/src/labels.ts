/** Places labels next to points so that none covers another label or a point. */

export interface Point {
  x: number;
  y: number;
  /** The size of its label in pixels. */
  width: number;
  height: number;
  /** Whether its label may cover points, but no other label, if there is no free place. */
  always?: boolean;
}

/** The left edge and the middle line of a label. */
export interface LabelPlace {
  x: number;
  y: number;
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const GAP = 7; // pixels between a point and its label
const RADIUS = 5; // of a point, with a little space

/**
 * Returns the place of each label, or null if there is no free one.
 *
 * @param points the most important first: it gets a place first.
 */
export function placeLabels(points: readonly Point[], width: number, height: number): (LabelPlace | null)[] {
  const dots = points.map(({ x, y }) => ({ left: x - RADIUS, right: x + RADIUS, top: y - RADIUS, bottom: y + RADIUS }));
  const labels: Box[] = [];
  return points.map((point, at) => {
    const free = candidates(point).filter((place) => {
      const box = boxOf(place, point);
      const inside = box.left >= 0 && box.right <= width && box.top >= 0 && box.bottom <= height;
      return inside && !labels.some((label) => overlap(box, label));
    });
    const covers = (place: LabelPlace) => dots.filter((dot, other) => other !== at && overlap(boxOf(place, point), dot)).length;
    const best = free.sort((one, other) => covers(one) - covers(other))[0];
    if (!best || (covers(best) > 0 && !point.always)) {
      return null;
    }
    labels.push(boxOf(best, point));
    return best;
  });
}

/** Right of the point, left, above, below, then the corners. */
function candidates({ x, y, width, height }: Point): LabelPlace[] {
  const away = GAP + height / 2;
  return [
    { x: x + GAP, y },
    { x: x - GAP - width, y },
    { x: x - width / 2, y: y - away },
    { x: x - width / 2, y: y + away },
    { x: x + GAP / 2, y: y - away },
    { x: x + GAP / 2, y: y + away },
    { x: x - GAP / 2 - width, y: y - away },
    { x: x - GAP / 2 - width, y: y + away },
  ];
}

export function boxOf({ x, y }: LabelPlace, { width, height }: Point): Box {
  return { left: x, right: x + width, top: y - height / 2, bottom: y + height / 2 };
}

export function overlap(one: Box, other: Box): boolean {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}
