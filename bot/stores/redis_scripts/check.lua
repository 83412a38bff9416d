-- Which key of the partition, or of the conversation, holds something that is not ours; nothing when all are.
return foreign(PARTITION, '') or c ~= '' and foreign(CONVERSATION, c) or true
