-- Reserves what an execution needs before it is created or redriven: a slot of its workflow, or a place in the line
-- for one, and an attempt of a session. All of it or nothing; the same execution again gets what it has.
-- KEYS: 1 workflow HASH, 2 slots ZSET, 3 waiting ZSET, 4 due ZSET, 5 session HASH, 6 sessions ZSET, 7 sessions of the workflow ZSET
-- ARGV: 1 id, 2 offset ms, 3 workflow, 4 epoch, 5 queue|reject ('' = as the workflow says), 6 not before ms ('' = now),
--       7 ms that the reservation holds, 8 ms until it is looked at, 9 execution number, 10 session time in s ('' = no session),
--       11 number of the session if it is new, 12 name of the attempt ('' = none)
-- Returns {1, 1 has a slot | 2 waits, holds until ms, session, attempt} | {2, session, attempt, id, execution number} that hold
--       the attempt | {-7, limit, 1 when the line is full, too} | {-8, limit} of attempts in a session
local id, now, workflow, epoch = ARGV[1], clock(ARGV[2]), ARGV[3], ARGV[4]
local WAITING_MOST, ATTEMPTS_MOST = 100000, 1000
local session, index, own, named = nil, nil, nil, 'a:' .. ARGV[12]
if ARGV[10] ~= '' then
  session = call('HGET', KEYS[5], 'number') or ARGV[11]
  own = call('HGET', KEYS[5], 'x:' .. id)
  local taken = not own and call('HGET', KEYS[5], named)
  if taken then
    if ARGV[12] == '' then taken = call('HGET', KEYS[5], 'last') end
    local by, number = string.match(call('HGET', KEYS[5], 'i:' .. taken), '^(%S+) (%d+)')
    return {2, session, taken, by, number}
  end
  index = own or (call('HGET', KEYS[5], 'count') or 0) + 1
  if not own and index > ATTEMPTS_MOST then return {-8, ATTEMPTS_MOST} end
end
local member = id .. ':' .. epoch
local slot, at, state = call('ZSCORE', KEYS[2], id), now, nil
local room = false
if slot and tonumber(slot) >= tonumber(epoch) then
  state = 1
elseif call('ZSCORE', KEYS[3], member) then
  state = 2
else
  local most, full = limit(KEYS[1])
  if ARGV[5] ~= '' then full = ARGV[5] end
  room = not most or call('ZCARD', KEYS[2]) - (slot and 1 or 0) < most -- the slot of its former run is its own
  local first = call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. now + 1, 'LIMIT', 0, 1)[1]
  if ARGV[6] ~= '' and tonumber(ARGV[6]) > now then
    at = tonumber(ARGV[6])
  elseif room and not first then
    state = 1
  elseif full == 'reject' then
    return {-7, most or 0, 0}
  end
  if not state and call('ZCARD', KEYS[3]) >= WAITING_MOST then return {-7, most or 0, 1} end
end
-- writes follow
if state == 1 then
  if not slot or tonumber(slot) < tonumber(epoch) then call('ZADD', KEYS[2], epoch, id) end
elseif not state then
  state = 2
  if slot then call('ZREM', KEYS[2], id) end
  local same = call('ZREVRANGEBYSCORE', KEYS[3], '(' .. at + 1, at, 'WITHSCORES', 'LIMIT', 0, 1)[2]
  call('ZADD', KEYS[3], same and same + 0.001 or at, member) -- behind those of the same millisecond
  if at > now then fill_at(KEYS[4], workflow, at) elseif room or slot then fill_at(KEYS[4], workflow, now + SLOT_GRACE) end
end
look_at(KEYS[4], slot_entry(id, epoch, workflow), now + ARGV[8])
if session then
  local place = ARGV[10] .. ':' .. workflow
  if not own then
    call('HSET', KEYS[5], 'number', session, 'count', index, 'last', index, 'x:' .. id, index, named, index,
      'i:' .. index, id .. ' ' .. ARGV[9] .. ' ' .. ARGV[12])
    call('ZADD', KEYS[6], session, place)
    call('ZADD', KEYS[7], session, place)
  end
  look_at(KEYS[4], 'session:' .. id .. ':' .. place, now + ARGV[8])
end
return {1, state, now + ARGV[7], session or 0, index or 0}
