// Dates as five numbers: days since 1970-01-01, and sine and cosine of month and weekday. What isn't plainly a date is null.

const TIME = String.raw`(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))? ?(Z|[+-]\d{2}:?\d{2})?)?$`;
const ISO = new RegExp(String.raw`^(\d{4})([-/])(\d{1,2})\2(\d{1,2})${TIME}`);
const DOTS = new RegExp(String.raw`^(\d{1,2})\.(\d{1,2})\.(\d{4})${TIME}`);
const SLASHES = new RegExp(String.raw`^(\d{1,2})([-/])(\d{1,2})\2(\d{4})${TIME}`);
const DAY_MONTH = new RegExp(String.raw`^(\d{1,2})[ -]([A-Za-z]{3,9})\.?[ -](\d{4})${TIME}`);
const MONTH_DAY = new RegExp(String.raw`^([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4})${TIME}`);
const NAMES = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
const DAY = 86_400_000; // milliseconds

// dayFirst: whether 3/4/2020 is in April; null: such dates are none
export function parts(given, dayFirst) {
  const days = given.length > 40 ? null : read(given, dayFirst);
  if (days === null) return null;
  const whole = Math.floor(days);
  const month = (2 * Math.PI * new Date(whole * DAY).getUTCMonth()) / 12;
  const weekday = (2 * Math.PI * ((((whole + 3) % 7) + 7) % 7)) / 7;
  return [days, Math.sin(month), Math.cos(month), Math.sin(weekday), Math.cos(weekday)];
}

function read(given, dayFirst) {
  let found;
  if ((found = ISO.exec(given))) return count(found[1], Number(found[3]), found[4], found.slice(5));
  if ((found = DOTS.exec(given))) return count(found[3], Number(found[2]), found[1], found.slice(4));
  if ((found = DAY_MONTH.exec(given))) return count(found[3], named(found[2]), found[1], found.slice(4));
  if ((found = MONTH_DAY.exec(given))) return count(found[3], named(found[1]), found[2], found.slice(4));
  found = SLASHES.exec(given);
  if (!found || dayFirst === null || dayFirst === undefined) return null;
  const [day, month] = dayFirst ? [found[1], found[3]] : [found[3], found[1]];
  return count(found[4], Number(month), day, found.slice(5));
}

function count(year, month, day, [hour, minute, second, zone]) {
  const date = new Date(0);
  date.setUTCFullYear(Number(year), month - 1, Number(day));
  if (Number(year) < 1 || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== Number(day)) return null;
  const days = date.getTime() / DAY;
  if (hour === undefined) return days;
  const [hours, minutes, seconds] = [Number(hour), Number(minute ?? 0), Number(second ?? 0)];
  if (hours > 23 || minutes > 59 || seconds >= 61) return null;
  const sign = zone?.startsWith("-") ? -1 : 1;
  const away = !zone || zone === "Z" ? 0 : sign * (60 * Number(zone.slice(1, 3)) + Number(zone.slice(-2)));
  return days + (hours * 60 + minutes - away + seconds / 60) / 1440;
}

// 1 to 12; 0, which is no month, for another word
function named(word) {
  const plain = word.toLowerCase() === "sept" ? "sep" : word.toLowerCase();
  return NAMES.findIndex((name) => name === plain || name.slice(0, 3) === plain) + 1;
}
