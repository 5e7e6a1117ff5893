-- Takes what has happened from accounts of gcra.lua, allowed or not: a process let it pass and reports it now.
-- KEYS are accounts. ARGV has three for each: microseconds between two requests, burst, how many requests happened.
-- Answer: for each account the microseconds until a whole burst is there again.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local answer = {}
for i, key in ipairs(KEYS) do
  local interval, burst, happened = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local stored = tonumber(redis.call('GET', key) or 0) or 0
  local latest = now + interval * burst -- with nothing left; a debt beyond it is forgiven
  local full = math.min(math.max(stored, now) + interval * happened, latest)
  if full > now then
    redis.call('SET', key, string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000)) -- Lua would write 1.7e+15
  end
  answer[i] = full - now
end
return answer
