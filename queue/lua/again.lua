-- Begins the next iteration of a loop, whose last one ended.
-- KEYS: as complete.lua
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 epoch the decision rested on, 5 attempt, 6 number of the iteration that ended
-- Returns {1, 1, now} | {-1} gone | {-5} the state moved on
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ref)
if not going(x) or x.epoch ~= ARGV[4] or not rec or rec.status ~= 'running' or rec.timed or rec.hand or rec.attempt ~= ARGV[5] or rec.size ~= ARGV[6]
  or call('HGET', KEYS[14], ref) ~= '0' or call('SISMEMBER', KEYS[6], ref) == 0 then return {-5} end
local raw = call('HGET', KEYS[2], ref .. '[' .. rec.size + 1 .. ']')
local next = raw and cjson.decode(raw)
if next and next.status ~= 'pending' and not next.ended then return {-5} end
-- writes follow
rec.size = rec.size + 1 .. ''
local ref2 = ref .. '[' .. rec.size .. ']'
if next and next.ended then
  reset(KEYS, x, ref2, next) -- it is from an earlier attempt
elseif not next then
  x.pending = x.pending + 1
  call('HSET', KEYS[2], ref2, FRESH)
end
call('HSET', KEYS[2], ref, cjson.encode(rec))
call('HSET', KEYS[14], ref, 1)
call('SREM', KEYS[6], ref)
call('SADD', KEYS[6], ref2)
call('ZADD', KEYS[10], 'NX', now, id)
save(x)
return {1, 1, now}
