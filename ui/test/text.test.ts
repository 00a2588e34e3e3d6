import { expect, test } from "vitest";
import { fixed, number, percent, shownText, signed } from "../src/text";

test("a change has a sign, and a rounded zero has no minus", () => {
  const values = [1.234, -0.5, -0.001, null, NaN].map((value) => signed(value));
  expect(values).toEqual(["+1.23", "−0.50", "+0.00", "–", "–"]);
});

test("numbers have a real minus sign", () => {
  expect([fixed(-0.25, 1), fixed(-0.001, 2), number(-1234.5), number(-2e-7), percent(-0.5)]).toEqual([
    "−0.3", "0.00", "−1,230", "−2.00e-7", "−50.00%",
  ]);
});

test("what acts instead of being shown is replaced; line breaks and tabs stay", () => {
  expect(shownText("a\u202eb\u001b\n\tc")).toBe("a<U+202E>b<U+001B>\n\tc");
});
