// The pages of the pipelines: all projects, one project, one pipeline. The address says which.
import { AllPage, ProjectPage } from "./list.js";
import { PipelinePage } from "./pipeline.js";

const MOST_MS = 15000;
const trouble = document.getElementById("trouble");

function choose(main) {
  const [project, number] = location.pathname.split("/").slice(3).filter(Boolean).map(decodeURIComponent);
  if (project && number) return new PipelinePage(main, project, number);
  return project ? new ProjectPage(main, project) : new AllPage(main);
}

function pause(milliseconds) {
  return new Promise((resolve) => { setTimeout(resolve, milliseconds); });
}

// Who does not look at the page costs nothing.
function seen() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true });
  });
}

function complain(text) {
  if (trouble.textContent !== text) trouble.textContent = text;
  trouble.hidden = !text;
}

// Looks as often as the page asks for (0: never again). What is shown stays there while the server is away.
async function keep(page) {
  let failures = 0;
  for (;;) {
    let wait;
    try {
      wait = await page.look();
      failures = 0;
      complain("");
      if (!wait) return;
    } catch (error) {
      failures += 1;
      wait = Math.min(MOST_MS, 1000 * 2 ** (failures - 1));
      if (failures > 1) complain(`The server can't be reached (${error.message}). What is shown may be old; this page tries again.`);
    }
    await pause(wait);
    await seen();
  }
}

keep(choose(document.getElementById("main")));
