// The one place where files that a cell names are read.

import { readFileSync, realpathSync, statSync } from "node:fs";
import { join, sep } from "node:path";

import { Unreadable } from "./refused.mjs";

// -> read(path, most): the bytes of a file below root, at most so many; no path leads out of it
export function below(root) {
  return (path, most) => {
    let place;
    try {
      place = realpathSync(join(path.startsWith(sep) ? "" : root, path));
    } catch {
      throw new Unreadable("no such file");
    }
    if (!place.startsWith(realpathSync(root) + sep)) throw new Unreadable("outside the data root");
    const facts = statSync(place);
    if (!facts.isFile()) throw new Unreadable("not a plain file");
    if (facts.size > most) throw new Unreadable(`${facts.size} bytes: too large, expected at most ${most}`);
    return readFileSync(place);
  };
}
