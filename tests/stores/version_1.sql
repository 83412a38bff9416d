-- A file as version 1 of the database had it: its dump, with the JSON in clear.
PRAGMA application_id = 1179796564;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE conversations (
    conversation_id TEXT PRIMARY KEY,
    event_count INTEGER NOT NULL,
    token INTEGER NOT NULL,
    snapshot BLOB NOT NULL
);
INSERT INTO "conversations" VALUES('rest:anna',9,4294967300,CAST('{"slots":{"n":3},"slots_set":["n"],"latest_message":{"event":"user","timestamp":1700000030.0,"text":"3","parse_data":{},"input_channel":null,"message_id":null},"latest_bot_message":{"event":"bot","timestamp":1700000031.0,"text":"ok","data":{}},"latest_action":null,"active_loop":null,"followup_action":null,"paused":false,"history":{"entries":[],"user":{"text":"3"},"prev_action":{},"loops":[],"truncated":false},"version":1,"conversation_id":"rest:anna","event_count":9,"latest_event_time":1700000032.0,"latest_input_channel":null,"language":null,"before_listening":null}' AS BLOB));
INSERT INTO "conversations" VALUES('rest:ben',3,4294967299,CAST('{"slots":{"n":1},"slots_set":["n"],"latest_message":{"event":"user","timestamp":1700000020.0,"text":"1","parse_data":{},"input_channel":null,"message_id":null},"latest_bot_message":{"event":"bot","timestamp":1700000021.0,"text":"ok","data":{}},"latest_action":null,"active_loop":null,"followup_action":null,"paused":false,"history":{"entries":[],"user":{"text":"1"},"prev_action":{},"loops":[],"truncated":false},"version":1,"conversation_id":"rest:ben","event_count":3,"latest_event_time":1700000022.0,"latest_input_channel":null,"language":null,"before_listening":null}' AS BLOB));
CREATE TABLE inbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (conversation_id, message_id)
);
INSERT INTO "inbox" VALUES(1,'rest:anna','m9',CAST('{"text":"and then?","sender_id":"anna","channel":"rest","message_id":"m9","payload":null,"attachments":[],"language":null,"metadata":{},"timestamp":1700000040.0}' AS BLOB));
INSERT INTO "inbox" VALUES(2,'rest:anna','m8',CAST('{"text":"and then?","sender_id":"anna","channel":"rest","message_id":"m8","payload":null,"attachments":[],"language":null,"metadata":{},"timestamp":1700000040.0}' AS BLOB));
CREATE TABLE openings (count INTEGER NOT NULL);
INSERT INTO "openings" VALUES(1);
CREATE TABLE turns (
    conversation_id TEXT NOT NULL,
    start_count INTEGER NOT NULL,
    end_count INTEGER NOT NULL,
    message_id TEXT,
    body BLOB NOT NULL
);
INSERT INTO "turns" VALUES('rest:anna',0,3,'m1',CAST('[{"event":"user","timestamp":1700000000.0,"text":"1","parse_data":{},"input_channel":null,"message_id":null},{"event":"bot","timestamp":1700000001.0,"text":"ok","data":{}},{"event":"slot","timestamp":1700000002.0,"name":"n","value":1}]' AS BLOB));
INSERT INTO "turns" VALUES('rest:anna',3,6,'m2',CAST('[{"event":"user","timestamp":1700000010.0,"text":"2","parse_data":{},"input_channel":null,"message_id":null},{"event":"bot","timestamp":1700000011.0,"text":"ok","data":{}},{"event":"slot","timestamp":1700000012.0,"name":"n","value":2}]' AS BLOB));
INSERT INTO "turns" VALUES('rest:ben',0,3,'m1',CAST('[{"event":"user","timestamp":1700000020.0,"text":"1","parse_data":{},"input_channel":null,"message_id":null},{"event":"bot","timestamp":1700000021.0,"text":"ok","data":{}},{"event":"slot","timestamp":1700000022.0,"name":"n","value":1}]' AS BLOB));
INSERT INTO "turns" VALUES('rest:anna',6,9,NULL,CAST('[{"event":"user","timestamp":1700000030.0,"text":"3","parse_data":{},"input_channel":null,"message_id":null},{"event":"bot","timestamp":1700000031.0,"text":"ok","data":{}},{"event":"slot","timestamp":1700000032.0,"name":"n","value":3}]' AS BLOB));
CREATE INDEX turns_in_order ON turns (conversation_id, end_count);
CREATE UNIQUE INDEX turns_by_message ON turns (conversation_id, message_id) WHERE message_id IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('inbox',2);
COMMIT;
