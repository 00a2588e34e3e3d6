import { describe, expect, test } from "vitest";
import { boxOf, overlap, placeLabels, type Point } from "../src/labels";

const label = { width: 40, height: 14 };

describe("placeLabels", () => {
  test("puts a single label to the right of its point", () => {
    expect(placeLabels([{ x: 50, y: 50, ...label }], 200, 100)).toEqual([{ x: 57, y: 50 }]);
  });

  test("no two labels overlap, and none leaves the picture", () => {
    const points: Point[] = Array.from({ length: 60 }, (_, i) => ({ x: (i * 37) % 300, y: (i * 53) % 200, ...label, always: i < 10 }));
    const boxes = placeLabels(points, 300, 200).flatMap((place, at) => (place ? [boxOf(place, points[at]!)] : []));
    expect(boxes.length).toBeGreaterThan(10);
    boxes.forEach((box, at) => {
      expect(boxes.slice(at + 1).some((other) => overlap(box, other))).toBe(false);
      expect(box.left).toBeGreaterThanOrEqual(0);
      expect(box.right).toBeLessThanOrEqual(300);
    });
  });

  test("a label that may not cover points is left out in a crowd, one that may is shown", () => {
    const crowd: Point[] = [];
    for (let x = 0; x <= 120; x += 8) {
      for (let y = 0; y <= 120; y += 8) {
        crowd.push({ x, y, ...label });
      }
    }
    expect(placeLabels([{ x: 61, y: 61, ...label }, ...crowd], 120, 120)[0]).toBeNull();
    expect(placeLabels([{ x: 61, y: 61, ...label, always: true }, ...crowd], 120, 120)[0]).not.toBeNull();
  });
});
