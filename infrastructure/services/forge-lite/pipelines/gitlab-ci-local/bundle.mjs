// Makes one file of gitlab-ci-local. Its JSON schema is compiled now instead of at each start, which
// is most of the time that a start would take. Jobs are started by attempt.mjs.
import Ajv from "ajv";
import standalone from "ajv/dist/standalone/index.js";
import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import schema from "gitlab-ci-local/src/schema/index.js";

// The options are those of gitlab-ci-local/src/validator.js.
const ajv = new Ajv.default({
  verbose: true, allErrors: true, allowUnionTypes: true, validateFormats: false, strictTypes: false,
  keywords: ["markdownDescription"], code: { source: true },
});
writeFileSync("validate.cjs", standalone.default(ajv, ajv.compile(schema)));

const compiled = {
  name: "compiled-schema",
  setup(bundle) {
    bundle.onResolve({ filter: /^ajv$/ }, ({ importer }) =>
      importer.endsWith("validator.js") ? { path: "ajv", namespace: "compiled" } : undefined);
    bundle.onLoad({ filter: /.*/, namespace: "compiled" }, () => ({
      contents: `import validate from "./validate.cjs";
        export default class { compile() { return validate; } }`,
      resolveDir: process.cwd(),
    }));
  },
};

// Each text stands there once, or there is no bundle.
const CHANGES = {
  executor: [
    ["async (startCandidate) => startCandidate.start();", "attempt;"],
    ["let startCandidates = [];\n        do {", "let startCandidates = [];\n        await plan(potentialStarters);\n        do {"],
  ],
  "data-expander": [
    ['["artifacts", "cache", "services", "image", "before_script", "after_script"]',
      '["artifacts", "cache", "services", "image", "before_script", "after_script", "retry", "tags"]'],
  ],
};

const changed = {
  name: "changed",
  setup(bundle) {
    bundle.onLoad({ filter: /gitlab-ci-local\/src\/(executor|data-expander)\.js$/ }, ({ path }) => {
      const name = path.split("/").pop().replace(/\.js$/, "");
      let text = readFileSync(path, "utf8").replace(/\n\/\/# sourceMappingURL=.*/, "");
      for (const [from, to] of CHANGES[name]) {
        if (text.split(from).length !== 2) throw new Error(`${path} is another: not once there: ${from}`);
        text = text.replace(from, () => to);
      }
      if (name === "executor") text = `import { attempt, plan } from "${process.cwd()}/attempt.mjs";\n${text}`;
      return { contents: text };
    });
  },
};

await build({
  entryPoints: ["node_modules/gitlab-ci-local/src/index.js"],
  outfile: "/out/gitlab-ci-local.cjs",
  bundle: true, platform: "node", target: "node20", format: "cjs", minify: true,
  external: ["yargs"], define: { "import.meta.url": "undefined" }, plugins: [compiled, changed],
});
