-- Every kind of object that a database can have, with names and values that are hard to write.
CREATE SCHEMA "Weird ""Schema""";
CREATE SCHEMA app AUTHORIZATION kt_owner;
GRANT USAGE ON SCHEMA app TO kt_reader WITH GRANT OPTION;
COMMENT ON SCHEMA app IS E'it''s a \\ schema\nwith two lines; -- and no end';
CREATE EXTENSION pg_trgm SCHEMA app;
CREATE EXTENSION hstore;

CREATE TYPE app.mood AS ENUM ('sad', 'it''s ok', 'ünïcode', '');
CREATE TYPE app.point3 AS (x double precision, y real, "Z z" numeric);
CREATE DOMAIN app.positive AS int DEFAULT 1 CHECK (VALUE > 0) NOT NULL;
CREATE TYPE app.span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE COLLATION app.c FROM "C";
CREATE FUNCTION app.twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS $_$ SELECT $1 * 2; -- $$ ; $_$;
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a trigger has run'; END $$;
CREATE PROCEDURE app.nothing() LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;
CREATE AGGREGATE app.total(int) (sfunc = int4pl, stype = int4, initcond = '0');
CREATE OPERATOR app.<<<< (leftarg = int, rightarg = int, function = int4pl);
CREATE CAST (app.mood AS int) WITH FUNCTION pg_catalog.hashenum(anyenum) AS ASSIGNMENT;
CREATE TEXT SEARCH DICTIONARY app.simple (template = simple);
CREATE TEXT SEARCH CONFIGURATION app.conf (copy = simple);

CREATE TABLE app.everything (
    id bigint GENERATED ALWAYS AS IDENTITY (START 7 INCREMENT 3) PRIMARY KEY,
    dropped1 int, b boolean, i2 smallint, i4 int, i8 bigint, f4 real, f8 double precision, n numeric, n2 numeric(30, 10),
    m money, c "char", ch char(5), vc varchar(10), t text, nm name, by bytea, d date, ti time, tz timetz, ts timestamp,
    tsz timestamptz, iv interval, u uuid, j json, jb jsonb, x xml, bi bit(5), vb varbit, inet inet, cidr cidr, mac macaddr,
    mac8 macaddr8, pt point, ln line, sg lseg, bx box, pa path, po polygon, ci circle, tv tsvector, tq tsquery, o oid,
    rc regclass, i4r int4range, tr tstzrange, nr numrange, mr app.span, mood app.mood, p3 app.point3, p3s app.point3[],
    pos app.positive, arr int[], arr2 text[][], moods app.mood[], hs hstore, tid tid, xid xid, lsn pg_lsn, jp jsonpath,
    gen int GENERATED ALWAYS AS (i4 * 2) STORED, dropped2 text
);
ALTER TABLE app.everything DROP COLUMN dropped1, DROP COLUMN dropped2;
INSERT INTO app.everything (b, i2, i4, i8, f4, f8, n, n2, m, c, ch, vc, t, nm, by, d, ti, tz, ts, tsz, iv, u, j, jb, x, bi, vb,
    inet, cidr, mac, mac8, pt, ln, sg, bx, pa, po, ci, tv, tq, o, rc, i4r, tr, nr, mr, mood, p3, p3s, arr, arr2, moods, hs,
    tid, xid, lsn, jp)
VALUES (true, -32768, 2147483647 / 2, 9223372036854775807, 'NaN', '-Infinity', 'NaN', 12345678901234567890.0123456789,
    '-1234.56', E'\\', 'ab', 'x', E'tab\tnew\nline\rreturn\\back\x01\\.', 'name', '\x00ff5c6e', '4713-01-01 BC', '24:00:00',
    '01:02:03.456789+05:30', '294276-12-31 23:59:59.999999', 'infinity', '-1 year 2 mons -3 days 04:05:06.789', 
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', E'{"a" : 1, "a":\t2}', '{"b": [1, "x\\ny", null]}', '<a>ä</a>', B'10101', B'1',
    '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(1.5,-2)', '{1,2,3}', '[(0,0),(1,1)]',
    '(2,2),(0,0)', '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '<(0,0),1>', 'a:1 b', 'a & !b', 4294967295, 'app.everything',
    '[1,5)', '[2020-01-01,)', 'empty', '[0.1,0.7]', 'ünïcode', '(1e300,-0,"1.50")', ARRAY['(1,2,3)', NULL]::app.point3[],
    '{1,NULL,3}', '{{"a,b","c\"d"},{NULL,"null"}}', '{sad,""}', 'a=>1, "b c"=>NULL', '(0,1)', '42', '16/B374D848', '$.a[*]'),
    (NULL, NULL, NULL, NULL, 1e-45, 5e-324, 1e-100, NULL, 0, NULL, '', '', '', NULL, '', '-infinity', NULL, NULL, '-infinity',
    '0001-01-01 00:00:00+00 BC', '0', NULL, 'null', 'null', NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, '', NULL, NULL, NULL, 'empty', NULL, NULL, NULL, '', NULL, '{}', '[0:1]={1,2}', '{}', NULL, '', NULL, NULL, NULL, NULL);
INSERT INTO app.everything (t, pos) SELECT repeat(md5(i::text), i * 40), i FROM generate_series(1, 50) i;
ALTER TABLE app.everything ALTER t SET STORAGE EXTERNAL, ALTER i4 SET STATISTICS 77;
ALTER TABLE app.everything ALTER j SET COMPRESSION pglz;
COMMENT ON COLUMN app.everything.t IS 'a ''comment''';
CREATE INDEX ON app.everything USING gin (t app.gin_trgm_ops);
CREATE INDEX "an ""index""" ON app.everything (app.twice(i4)) WHERE b;
CREATE STATISTICS app.stats ON i2, i4 FROM app.everything;
GRANT SELECT (id, t), UPDATE ON app.everything TO kt_reader;
CREATE TRIGGER "t ""x""" BEFORE INSERT OR UPDATE ON app.everything FOR EACH ROW EXECUTE FUNCTION app.touch();
ALTER TABLE app.everything DISABLE TRIGGER "t ""x""";
CREATE RULE nothing AS ON DELETE TO app.everything DO INSTEAD (SELECT 1; SELECT 2);
ALTER TABLE app.everything CLUSTER ON everything_pkey;

-- Keys in circles, constraints that are not valid yet, exclusion.
CREATE TABLE "Weird ""Schema"""."Tab.le" ("Co""l" int PRIMARY KEY, "select" int, "ünï" text COLLATE app.c);
CREATE TABLE app.a (id int PRIMARY KEY, b int);
CREATE TABLE app.b (id int PRIMARY KEY, a int REFERENCES app.a DEFERRABLE INITIALLY DEFERRED, self int REFERENCES app.b);
INSERT INTO app.a VALUES (1, 2), (2, 1); INSERT INTO app.b VALUES (1, 2, 2), (2, 1, 1);
ALTER TABLE app.a ADD FOREIGN KEY (b) REFERENCES app.b ON DELETE CASCADE;
INSERT INTO "Weird ""Schema"""."Tab.le" VALUES (1, 1, 'x'), (2, NULL, E'\\N');
ALTER TABLE "Weird ""Schema"""."Tab.le" ADD CONSTRAINT fk FOREIGN KEY ("select") REFERENCES app.a NOT VALID,
    ADD CONSTRAINT positive CHECK ("select" > 100) NOT VALID, REPLICA IDENTITY FULL;
CREATE TABLE app.excluded (r tsrange, EXCLUDE USING gist (r WITH &&));
CREATE TABLE app.nothing_at_all ();
INSERT INTO app.nothing_at_all SELECT FROM generate_series(1, 3);
CREATE TABLE app.only_generated (g int GENERATED ALWAYS AS (1) STORED);
INSERT INTO app.only_generated SELECT FROM generate_series(1, 2);
CREATE UNLOGGED TABLE app.unlogged (x int) WITH (fillfactor = 50);
INSERT INTO app.unlogged VALUES (1);
CREATE TABLE app.empty (LIKE app.everything INCLUDING ALL);

-- Partitions and inheritance, with columns in other orders.
CREATE TABLE app.measures (at date NOT NULL, v int, note text) PARTITION BY RANGE (at);
CREATE TABLE app.measures_2025 PARTITION OF app.measures FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (v);
CREATE TABLE app.measures_2025_1 PARTITION OF app.measures_2025 FOR VALUES IN (1, NULL);
CREATE TABLE app.measures_2025_x (note text, dropped int, v int, at date NOT NULL);
ALTER TABLE app.measures_2025_x DROP COLUMN dropped;
ALTER TABLE app.measures_2025 ATTACH PARTITION app.measures_2025_x DEFAULT;
CREATE TABLE app.measures_rest PARTITION OF app.measures DEFAULT;
CREATE INDEX ON app.measures (v);
CREATE UNIQUE INDEX ON app.measures (at, v);
INSERT INTO app.measures SELECT '2025-12-20'::date + i, i, 'n' || i FROM generate_series(1, 20) i;
CREATE TABLE app.hashed (k text, v int) PARTITION BY HASH (k);
CREATE TABLE app.hashed0 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.hashed1 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO app.hashed SELECT md5(i::text), i FROM generate_series(1, 50) i;
CREATE TABLE app.parent (id int, name text);
CREATE TABLE app.child (extra int) INHERITS (app.parent);
INSERT INTO app.parent VALUES (1, 'parent'); INSERT INTO app.child VALUES (2, 'child', 3);

-- Views that stand on each other; one that was never filled.
CREATE VIEW app.v WITH (security_barrier) AS SELECT id, t FROM app.everything WITH LOCAL CHECK OPTION;
CREATE RECURSIVE VIEW app.r (n) AS SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5;
CREATE MATERIALIZED VIEW app.mv2 AS SELECT count(*) AS n FROM app.everything;
CREATE MATERIALIZED VIEW app.mv1 AS SELECT n FROM app.mv2 UNION ALL SELECT n FROM app.r;
CREATE UNIQUE INDEX ON app.mv2 (n);
CREATE MATERIALIZED VIEW app.unfilled AS SELECT 1 AS x WITH NO DATA;

-- Sequences, large objects, foreign data.
CREATE SEQUENCE app."Seq" AS smallint MINVALUE -5 MAXVALUE 5 INCREMENT -1 START 3 CYCLE;
SELECT nextval('app."Seq"'), nextval('app."Seq"');
CREATE SEQUENCE app.untouched;
CREATE TABLE app.serials (id serial, big bigserial);
INSERT INTO app.serials DEFAULT VALUES;
SELECT lo_from_bytea(4000001, decode(repeat('00ff', 700000), 'hex')), lo_from_bytea(4000002, ''), lo_from_bytea(4000003, 'small');
ALTER LARGE OBJECT 4000001 OWNER TO kt_owner;
GRANT SELECT ON LARGE OBJECT 4000003 TO kt_reader;
COMMENT ON LARGE OBJECT 4000002 IS 'an empty one';
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER dummy OPTIONS (host 'x');
CREATE USER MAPPING FOR kt_owner SERVER elsewhere OPTIONS (password 'secret');
CREATE FOREIGN TABLE app.far (x int) SERVER elsewhere;

-- Row-level security, publications, event triggers, default rights.
CREATE TABLE app.secured (owner text, x int);
INSERT INTO app.secured VALUES ('a', 1), ('b', 2);
ALTER TABLE app.secured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON app.secured AS RESTRICTIVE FOR SELECT TO kt_reader USING (owner = current_user);
CREATE PUBLICATION pub FOR TABLE app.a (id) WHERE (id > 0), app.b;
CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION x WITH (connect = false, slot_name = NONE);
CREATE FUNCTION app.on_event() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1; END $$;
CREATE EVENT TRIGGER et ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION app.on_event();
ALTER DEFAULT PRIVILEGES FOR ROLE kt_owner IN SCHEMA app GRANT SELECT ON TABLES TO kt_reader;
ALTER TABLE app.a OWNER TO kt_owner;
REVOKE ALL ON FUNCTION app.twice FROM PUBLIC;
