-- Takes an execution out of its session: it was never created, or its retention is over. With its last one the session ends.
-- KEYS: 1 session HASH, 2 sessions ZSET, 3 sessions of the workflow ZSET, 4 due ZSET
-- ARGV: 1 id, 2 session time in s and workflow, 3 when it was to be looked at ('' = whenever), 4 1 when it was never created
-- Returns {1} | {-2} it was reserved anew meanwhile
local id, place = ARGV[1], ARGV[2]
local entry = 'session:' .. id .. ':' .. place
local seen = call('ZSCORE', KEYS[4], entry)
if ARGV[3] ~= '' and not (seen and tonumber(seen) == tonumber(ARGV[3])) then return {-2} end
local index, count, last = call('HGET', KEYS[1], 'x:' .. id), tonumber(call('HGET', KEYS[1], 'count') or 0), nil
local name = index and string.match(call('HGET', KEYS[1], 'i:' .. index), '^%S+ %d+ (.*)$')
for n = count, 1, -1 do
  if index and n ~= tonumber(index) and call('HEXISTS', KEYS[1], 'i:' .. n) == 1 then
    last = n
    break
  end
end
-- writes follow
call('ZREM', KEYS[4], entry)
if not index then return {1} end
if not last then
  call('DEL', KEYS[1])
  call('ZREM', KEYS[2], place)
  call('ZREM', KEYS[3], place)
  return {1}
end
call('HDEL', KEYS[1], 'i:' .. index, 'x:' .. id, 'a:' .. name)
call('HSET', KEYS[1], 'last', last)
if ARGV[4] == '1' and tonumber(index) == count then call('HSET', KEYS[1], 'count', count - 1) end -- nobody saw that number
return {1}
