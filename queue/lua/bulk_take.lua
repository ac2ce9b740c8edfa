-- Takes the next executions of a bulk operation in flight, as many as its pace allows; those that are only to be skipped cost nothing of it.
-- KEYS: 1 bulk HASH, 2 flight HASH, 3 results HASH, 4 looks ZSET
-- ARGV: 1 id, 2 offset ms, 3 how many were taken before, then of each execution: 4 fly|skip, 5 record
-- Returns {1, how many, ms until the rate allows more (0 = it does)} | {-1} gone | {-5} others were taken | {-6, state} it takes none
local b = bulk(KEYS[1])
if not b then return {-1} end
if b.state ~= 'running' and b.state ~= 'canary' then return {-6, b.state} end
if b.taken ~= tonumber(ARGV[3]) then return {-5} end
local now, pace = clock(ARGV[2]), call('HMGET', KEYS[1], 'rate', 'paced', 'most')
local room, rate = tonumber(pace[3]) - flying(b), tonumber(pace[1])
if b.state == 'canary' then room = math.min(room, b.canary - b.good - b.bad - flying(b)) end
local gap = rate > 0 and 1000 / rate or 0
local paced = math.max(tonumber(pace[2] or 0), now - 1000) -- what was not used of the last second may be caught up
if not pace[2] then paced = now end
local taken = 0
-- writes follow
for i = 4, #ARGV, 2 do
  local at = b.taken .. ''
  if ARGV[i] == 'skip' then
    call('HSET', KEYS[3], at, ARGV[i + 1])
    b.skipped = b.skipped + 1
  elseif room > 0 and (gap == 0 or paced <= now) then
    call('HSET', KEYS[2], at, ARGV[i + 1])
    room, paced = room - 1, paced + gap
  else
    break
  end
  b.taken, taken = b.taken + 1, taken + 1
end
call('HSET', KEYS[1], 'paced', string.format('%.3f', paced))
save_bulk(b, KEYS[4], ARGV[1], now)
return {1, taken, gap > 0 and math.max(math.ceil(paced - now), 0) or 0}
