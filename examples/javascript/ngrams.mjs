// Hashed n-grams of a text: words, runs of words, and the character n-grams of each word, each id once.

const FIRST = 2; // id of the first bucket
const UTF8 = new TextEncoder();
const WORDS_OF = 4; // one in so many ids is for words
const LONGEST_WORD = 64; // characters
const WORD = /[\p{L}\p{N}](?:[\p{L}\p{N}\p{M}\u200c\u200d])*|[^\p{L}\p{N}\p{White_Space}]+/gu;
const UNSPACED = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{3ffff}]/u;
const UNSPACED_PARTS = new RegExp(`(${UNSPACED.source})`, "u");
const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

// CRC-32 (ISO 3309) of a text's UTF-8 bytes
function crc32(text) {
  let value = 0xffffffff;
  for (const byte of UTF8.encode(text)) value = (value >>> 8) ^ CRC[(value ^ byte) & 255];
  return (value ^ 0xffffffff) >>> 0;
}

export function ngrams({ vocabulary, word_ngrams: orders, char_ngrams: lengths }) {
  const words = FIRST + Math.floor((vocabulary - FIRST) / WORDS_OF);
  const wordId = (word) => FIRST + (crc32(`w${word}`) % (words - FIRST));
  const ngramId = (kind, ngram) => words + (crc32(kind + ngram) % (vocabulary - words));
  return (given) => {
    const found = split(given), ids = new Set();
    found.forEach((word, place) => {
      ids.add(wordId(word));
      if (lengths && /^[\p{L}\p{N}]/u.test(word) && !UNSPACED.test([...word][0])) {
        const marked = ["<", ...word, ">"];
        for (let n = lengths[0]; n <= Math.min(lengths[1], marked.length); n += 1) {
          for (let i = 0; i + n <= marked.length; i += 1) ids.add(ngramId("c", marked.slice(i, i + n).join("")));
        }
      }
      for (let n = 2; n <= orders; n += 1) {
        if (place + n <= found.length) ids.add(ngramId("b", found.slice(place, place + n).join(" ")));
      }
    });
    return [...ids];
  };
}

// Words and runs of punctuation; each character of a script without spaces is a word
function split(given) {
  return (given.match(WORD) ?? [])
    .map((word) => [...word].slice(0, LONGEST_WORD).join(""))
    .flatMap((word) => (UNSPACED.test(word) ? word.split(UNSPACED_PARTS).filter(Boolean) : [word]));
}
