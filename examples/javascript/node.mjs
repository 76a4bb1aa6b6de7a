// A student in Node: an export folder, and files below a folder.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import ort from "onnxruntime-node";

import { below } from "./files.mjs";
import { Refused } from "./refused.mjs";
import { Student as Anywhere } from "./student.mjs";

export class Student extends Anywhere {
  static load(folder, threads = 1) {
    const read = async (name) => {
      try {
        return await readFile(join(folder, name));
      } catch (error) {
        throw new Refused(`${folder} is no export: ${name}: ${error.code}`);
      }
    };
    return Student.open(ort, read, { intraOpNumThreads: threads, executionProviders: ["cpu"] });
  }

  // Files are read below the folder ``root`` alone.
  predict(records, root = ".") {
    return super.predict(records, below(root));
  }
}
