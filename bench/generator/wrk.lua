-- What generator.Load has wrk run: wrk -s wrk.lua URL -- THREADS REQUESTS BODIES RATE [once]
--
-- REQUESTS is a file of requests as they are sent, each behind a line with its length. Every thread sends all of them again and again, from
-- a place of its own on; with "once" it takes every so-manieth, sends each once, and ends when there is none left.
-- With a RATE above 0, per second, a request is sent when it is due, by a connection that has had its answer.
-- The body of one answer in 64 of each thread goes to BODIES and the number of the thread, in the same form.
-- done writes one line of JSON to stderr.

local ffi = require("ffi")
ffi.cdef [[
typedef struct { long seconds; long nanoseconds; } moment;
int clock_gettime(int clock, moment *now);
]]

local threads = {} -- in the state that only sets up and is done

function setup(thread)
  thread:set("number", #threads)
  threads[#threads + 1] = thread
end

local count, requests, place, once, bodies = 0, {}, 1, false, nil

answers, wrong, first = 0, 0, ""
began, ended = 0, 0 -- in µs
late, latest = 0, 0 -- requests that no connection was free for when they were due, and by how many µs at most

-- microseconds of a clock that only goes on.
local function now()
  local moment = ffi.new("moment")
  ffi.C.clock_gettime(1, moment)
  return tonumber(moment.seconds) * 1000000 + math.floor(tonumber(moment.nanoseconds) / 1000)
end

local due, interval = 0, 0 -- in µs

-- untildue returns how many milliseconds a connection waits before it sends the next request. wrk keeps timers by the millisecond: what is due
-- within one is sent at its beginning.
function untildue()
  local moment = now()
  due = (due == 0 and moment or due) + interval
  if due >= moment then
    return math.floor((due - moment) / 1000)
  end
  late, latest = late + 1, math.max(latest, moment - due)
  return 0
end

function init(args)
  count = tonumber(args[1])
  local file = assert(io.open(args[2], "rb"))
  while true do
    local length = file:read("*n", 1)
    if not length then
      break
    end
    requests[#requests + 1] = file:read(length)
  end
  file:close()
  bodies = assert(io.open(args[3] .. number, "wb"))
  once = args[5] == "once"
  if tonumber(args[4]) > 0 then
    interval, delay = 1000000 * count / tonumber(args[4]), untildue
  end
end

-- Before anything is sent wrk asks the first thread for a request, to see whether it is one.
local asked = false

local function share()
  if once then
    local mine = {}
    for n = number + 1, #requests, count do
      mine[#mine + 1] = requests[n]
    end
    requests = mine
  else
    place = math.floor(number * #requests / count) + 1
  end
  began = now()
end

function request()
  if number == 0 and not asked then
    asked = true
    return requests[1]
  end
  if began == 0 then
    share()
  end
  local text = requests[place]
  if text then
    place = place + 1
    if not once and place > #requests then
      place = 1
    end
    return text
  end
  if ended == 0 then
    ended = now()
    wrk.thread:stop()
  end
  return "" -- which sends nothing
end

function response(status, headers, body)
  if status ~= 200 then
    wrong = wrong + 1
    if first == "" then
      first = status .. ": " .. body
    end
  elseif answers % 64 == 0 then
    bodies:write(#body, "\n", body)
  end
  answers = answers + 1
end

local function quoted(text)
  return '"' .. text:gsub('[%c"\\\128-\255]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

function done(summary, latency)
  local wrong, first, answers, span, late, latest = 0, "", 0, 0, 0, 0
  for _, thread in ipairs(threads) do
    wrong, answers = wrong + thread:get("wrong"), answers + thread:get("answers")
    late, latest = late + thread:get("late"), math.max(latest, thread:get("latest"))
    if first == "" then
      first = thread:get("first")
    end
    if thread:get("ended") > 0 then
      span = math.max(span, thread:get("ended") - thread:get("began"))
    end
  end
  if span == 0 then
    span = summary.duration
  end
  local errors = summary.errors
  io.stderr:write(string.format('{"answers":%d,"took_us":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d,"late":%d,"latest_us":%d,' ..
    '"connect":%d,"read":%d,"write":%d,"timeout":%d,"wrong":%d,"first":%s}\n', answers, span,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max, late, latest,
    errors.connect, errors.read, errors.write, errors.timeout, wrong, quoted(first)))
end
