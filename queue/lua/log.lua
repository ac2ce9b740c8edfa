-- Keeps lines of an attempt's log, up to a limit of its own and one of the execution; what is cut is counted.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 log LIST, 4 log sizes HASH
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 attempt, 5 dispatch, 6 number of the batch (0 = none), 7 1 = the last one,
--       8 limit of the attempt, 9 limit of the execution, 10 lines cut before, 11 their bytes, 12 lines lost,
--       13 their bytes, then per line: ms ago, level, message
-- Returns {1, 1 when the attempt's log is full else 0} | {-1} gone | {-2} there is no such attempt
local now, ref, attempt = clock(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local ttl = call('PTTL', KEYS[1])
if ttl == -2 then return {-1} end
local rec = record(KEYS[2], ref)
if not rec or attempt < 1 or attempt > (rec.attempt or 0) + 0 then return {-2} end
local field = ref .. '#' .. ARGV[4]
local v = call('HMGET', KEYS[4], 'all', field)
local all = (v[1] or 0) + 0
local own, cut, cutbytes, lost, lostbytes, dispatch, batch =
  string.match(v[2] or '0 0 0 0 0 0 0', '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
own, cut, cutbytes, lost, lostbytes = own + 0, cut + 0, cutbytes + 0, lost + 0, lostbytes + 0
if ARGV[6] ~= '0' and dispatch == ARGV[5] and tonumber(batch) >= tonumber(ARGV[6]) then return {1, cut > 0 and 1 or 0} end
local most, mostall = tonumber(ARGV[8]), tonumber(ARGV[9])
local head = '\t' .. ref .. '\t' .. ARGV[4] .. '\t' .. ARGV[5] .. '\t'
local lines, before = {}, cut
cut, cutbytes = cut + ARGV[10], cutbytes + ARGV[11]
lost, lostbytes = lost + ARGV[12], lostbytes + ARGV[13]
for i = 14, #ARGV, 3 do
  local line = now - ARGV[i] .. '\t' .. ARGV[i + 1] .. head .. ARGV[i + 2]
  -- What was cut once stays cut: lines that happen to fit would stand there as if nothing were missing between.
  if cut > 0 or own + #line > most or all + #line > mostall then
    cut, cutbytes = cut + 1, cutbytes + #ARGV[i + 2]
  else
    own, all = own + #line, all + #line
    lines[#lines + 1] = line
  end
end
-- A line is never this long, so it was not its own limit that cut an attempt which has so much left.
local which = own + 20480 > most and 'attempt' or 'execution'
if ARGV[7] == '1' then
  if cut + lost > 0 then
    lines[#lines + 1] = now .. '\tsum' .. head .. cut .. ' ' .. cutbytes .. ' ' .. lost .. ' ' .. lostbytes .. ' ' .. which
  end
elseif cut > 0 and before == 0 then
  lines[#lines + 1] = now .. '\tcut' .. head .. which
end
-- writes follow
if #lines > 0 then call('RPUSH', KEYS[3], unpack(lines)) end
call('HSET', KEYS[4], 'all', all, field,
  own .. ' ' .. cut .. ' ' .. cutbytes .. ' ' .. lost .. ' ' .. lostbytes .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
if ttl > 0 then
  call('PEXPIRE', KEYS[3], ttl)
  call('PEXPIRE', KEYS[4], ttl)
end
return {1, cut > 0 and 1 or 0}
