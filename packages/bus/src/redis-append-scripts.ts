import { SHARED, script } from "./redis-script.ts";

/**
 * KEYS[3] producer. ARGV: sequence, ttlMs, an ordinal to go on above (0: none), then for each entry: count, messages.
 * Gives `<sequence> <id>...`.
 * A sequence that was appended before appends nothing and gives the same ids again. The first write is XADD:
 * where Redis refuses it (memory, disk), nothing has happened.
 */
export const APPEND = script(`${SHARED}
local seq = tonumber(ARGV[1])
local done = redis.call('GET', KEYS[3])
if done then
  local at = tonumber(string.match(done, '^%d+'))
  if at == seq then
    -- A write, so that WAIT on this connection is about what was appended on another.
    redis.pcall('PEXPIRE', KEYS[3], ARGV[2])
    return done
  end
  if at > seq then return redis.error_reply('STALE sequence ' .. ARGV[1] .. ' after ' .. at) end
end
local state = redis.call('HMGET', ledger, 'accepted', 'clock')
local accepted, clock = tonumber(state[1]), tonumber(state[2] or 0)
local function resume()
  local last = fields(redis.call('XINFO', 'STREAM', stream))['last-generated-id']
  local ordinal, n = own(last)
  if not accepted then accepted = ordinal and ordinal + n - 1 or 0 end
  clock = tonumber(string.match(last, '^%d+')) + 1
end
if not accepted then
  if redis.call('EXISTS', stream) == 1 then resume() else accepted = 0 end
end
-- Accepted and gone, with a primary that had it alone: the gap names it.
accepted = math.max(accepted, tonumber(ARGV[3]))
local time = redis.call('TIME')
local ms = math.max(time[1] * 1000 + math.floor(time[2] / 1000), clock)
local function add(ordinal, at, n)
  local args = { 'XADD', stream, string.format('%.0f-%.0f', ms, ordinal * 1000 + n),
    'o', string.format('%.0f', ordinal), 'n', n }
  for i = 1, n do
    args[6 + 2 * i] = 'm'
    args[7 + 2 * i] = ARGV[at + i]
  end
  return redis.pcall(unpack(args))
end
local result, at = { ARGV[1] }, 4
while at <= #ARGV do
  local n = tonumber(ARGV[at])
  local id = add(accepted + 1, at, n)
  if type(id) == 'table' and string.find(id.err, 'equal or smaller') then
    resume()
    ms = clock
    id = add(accepted + 1, at, n)
  end
  if type(id) == 'table' then return id end
  accepted = accepted + n
  at = at + n + 1
  result[#result + 1] = id
end
redis.call('HSET', ledger, 'accepted', string.format('%.0f', accepted), 'clock', string.format('%.0f', ms))
local reply = table.concat(result, ' ')
redis.call('SET', KEYS[3], reply, 'PX', ARGV[2])
return reply`);

/** ARGV: group, then for each entry: id, stored, duplicate, quarantined, 1 if others appended it. Gives the ids that counted. */
export const ACK = script(`${SHARED}
local group, sums, foreign, counted = ARGV[1], { 0, 0, 0 }, 0, {}
for at = 2, #ARGV, 5 do
  local id = ARGV[at]
  if redis.call('XACK', stream, group, id) == 1 then
    counted[#counted + 1] = id
    settle_entry(group, id)
    for k = 1, 3 do
      sums[k] = sums[k] + ARGV[at + k]
      if ARGV[at + 4] == '1' then foreign = foreign + ARGV[at + k] end
    end
  end
end
for k, name in ipairs({ ':stored', ':duplicate', ':quarantined' }) do
  if sums[k] > 0 then redis.call('HINCRBY', ledger, group .. name, sums[k]) end
end
if foreign > 0 then redis.call('HINCRBY', ledger, group .. ':foreign', foreign) end
return counted`);
