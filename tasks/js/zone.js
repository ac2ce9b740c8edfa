// Lets Date speak of a time zone instead of the machine's. offset(ms) is how many minutes the zone is east of UTC at a
// moment, moment(ms) is the moment at which its clocks show what UTC's show at ms, text(ms, kind) writes a moment.
(function (offset, moment, text) {
  var Native = Date, native = Native.prototype;
  var shown = function (date) { return new Native(date.getTime() + offset(date.getTime()) * 60000); };
  var define = function (on, name, value) { Object.defineProperty(on, name, { value: value, writable: true, configurable: true }); };
  var local = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?$/; // a time without a zone
  var iso = /^(\d{4}|[+-]\d{6})(-\d\d){0,2}(T[\d:.,]+)?(Z|[+-][\d:]+)?$/;
  var parse = function (s) {
    if (local.test(s)) return moment(Native.parse(s + "Z"));
    if (iso.test(s)) return Native.parse(s);
    var utc = Native.parse("UTC " + s); // of two zones the last counts: one that the text names
    return utc === Native.parse("EST " + s) ? utc : moment(utc);
  };

  var Zoned = function Date(year, month, day, hours, minutes, seconds, ms) {
    if (!new.target) return new Zoned().toString();
    var made;
    if (arguments.length === 0) made = new Native();
    else if (arguments.length > 1) made = new Native(moment(Native.UTC.apply(null, arguments)));
    else made = new Native(typeof year === "string" ? parse(year) : year);
    return Object.setPrototypeOf(made, new.target.prototype);
  };
  Zoned.prototype = native;
  define(Zoned, "now", Native.now);
  define(Zoned, "UTC", Native.UTC);
  define(Zoned, "parse", function (s) { return parse(String(s)); });
  define(native, "constructor", Zoned);

  ["FullYear", "Month", "Date", "Day", "Hours", "Minutes", "Seconds", "Milliseconds"].forEach(function (part) {
    var get = native["getUTC" + part], set = native["setUTC" + part];
    define(native, "get" + part, function () { return get.call(shown(this)); });
    if (set) define(native, "set" + part, function () {
      var date = isNaN(this.getTime()) && part === "FullYear" ? new Native(0) : shown(this);
      set.apply(date, arguments);
      return this.setTime(moment(date.getTime()));
    });
  });
  define(native, "getYear", function () { return this.getFullYear() - 1900; });
  define(native, "getTimezoneOffset", function () { return -offset(this.getTime()); });
  ["toString", "toDateString", "toTimeString", "toLocaleString", "toLocaleDateString", "toLocaleTimeString"].forEach(function (kind) {
    define(native, kind, function () { return isNaN(this.getTime()) ? "Invalid Date" : text(this.getTime(), kind); });
  });
  globalThis.Date = Zoned;
})
