/** The bundle: draws the page whose data is in the document, if there is one; others (the studio) call `drawPage` or `DRAWN`. */

import "./theme.css";
import { drawPage, type PageData } from "./page";
import { DRAWN } from "./registry";

const root = document.getElementById("liuli");
const data = document.getElementById("liuli-data");
if (root && data) {
  drawPage(root, JSON.parse(data.textContent ?? "") as PageData);
}

export { DRAWN, drawPage };
