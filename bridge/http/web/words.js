// What the scripts of the status page share: elements, and numbers and times in words.

export const byId = (id) => document.getElementById(id);
export const number = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  Object.assign(element, attributes);
  element.append(...children);
  return element;
}

export const span = (seconds) => {
  const minutes = Math.max(0, Math.round(seconds / 60)), hours = Math.floor(minutes / 60);
  if (hours >= 24) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  return hours ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
};
export const duration = (seconds) => (seconds == null ? "–" : seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`);
export const percent = (share) => (share == null ? "–" : `${Math.round(share * 100)} %`);
export const ago = (seconds) => (seconds < 60 ? `${Math.max(0, Math.round(seconds))} s ago` : `${span(seconds)} ago`);
export const windowName = (minutes) => {
  if (!minutes) return "Window";
  if (minutes % 1440 === 0) return minutes === 10080 ? "Week" : `${minutes / 1440} days`;
  return minutes % 60 === 0 ? `${minutes / 60} hours` : `${minutes} minutes`;
};
