// Why something isn't done. Nothing is approximated: what would not give Python's answer is refused.

export class Refused extends Error {} // the model, or the request as a whole
export class Absent extends Error {} // there is nothing in a cell: the modality is left out
export class Unreadable extends Error {} // there is something that can't be read: left out, and said
