-- The generic cell rate algorithm (ITU-T I.371) in whole microseconds, which a number of Lua holds exactly up to 2^53.
-- KEYS[1] holds the time at which a whole burst is there again; no key means now.
-- ARGV: microseconds between two requests, burst. Answer: allowed (1, 0), retry after, remaining, reset; times in microseconds.
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local latest = now + interval * burst -- with nothing left

-- A time that cannot be, since the clock was set back, must not lock anybody out until then.
local stored = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
local full = math.min(math.max(stored, now), latest)

local allowed = full + interval <= latest
local retry = 0
if allowed then
  full = full + interval
else
  retry = full + interval - latest
end
if full ~= stored then
  redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000)) -- Lua would write 1.7e+15
end
return {allowed and 1 or 0, retry, math.floor((latest - full) / interval), full - now}
