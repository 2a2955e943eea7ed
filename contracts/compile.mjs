// Compile Ledger.sol with the pinned solc and write its ABI, creation bytecode and compiler settings.
// Usage: node contracts/compile.mjs [OUT.json]     (default contracts/abi/Ledger.json)

import { readFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const solc = createRequire(import.meta.url)("solc");
const contracts = dirname(fileURLToPath(import.meta.url));
const modules = join(contracts, "..", "node_modules");
const out = process.argv[2] ?? join(contracts, "abi", "Ledger.json");

// cancun: the oldest fork that OpenZeppelin 5.7 compiles for. No metadata hash: the bytecode then depends on code and settings only.
const settings = {
  evmVersion: "cancun",
  optimizer: { enabled: true, runs: 1_000_000 },
  viaIR: true,
  metadata: { bytecodeHash: "none" },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
};
const own = (name) => readFileSync(join(contracts, name), "utf8");
const input = {
  language: "Solidity",
  sources: Object.fromEntries(["HospitalSlot.sol", "ILedger.sol", "Ledger.sol", "RoundSlot.sol"].map((name) => [name, { content: own(name) }])),
  settings,
};

const load = (path) => {
  try {
    return { contents: readFileSync(join(modules, path), "utf8") };
  } catch (error) {
    return { error: `${path}: ${error.message}; run npm ci` };
  }
};
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: load }));
const problems = output.errors ?? [];
for (const problem of problems) console.error(problem.formattedMessage);
if (problems.length > 0) process.exit(1);

const { abi, evm } = output.contracts["Ledger.sol"].Ledger;
const openzeppelin = JSON.parse(readFileSync(join(modules, "@openzeppelin", "contracts", "package.json"), "utf8")).version;
const { outputSelection, ...published } = settings;
const artefact = {
  contract: "Ledger",
  compiler: { solc: solc.version(), openzeppelin, settings: published },
  abi,
  bytecode: `0x${evm.bytecode.object}`,
};
mkdirSync(dirname(out), { recursive: true });
writeFileSync(out, `${JSON.stringify(artefact, null, 1)}\n`);
