DELIMITER ;;
-- What only MariaDB has; to be loaded after nasty.sql. It makes users and roles that begin with "nasty", too.
SET NAMES utf8mb4, sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00' ;;
USE nasty ;;

CREATE TABLE maria_types (
    id UUID NOT NULL PRIMARY KEY, u UUID DEFAULT NULL, i6 INET6, i4 INET4, vc VARCHAR(200) COMPRESSED, tc TEXT COMPRESSED CHARACTER SET ucs2,
    bc BLOB COMPRESSED=zlib, p POINT REF_SYSTEM_ID=4326, n INT DEFAULT (1 + 2), hidden INT INVISIBLE DEFAULT 5,
    per INT AS (n + 1) PERSISTENT, CHECK (n > 0)
) ;;
INSERT INTO maria_types (id, u, i6, i4, vc, tc, bc, p, n, hidden) VALUES
    ('123e4567-e89b-12d3-a456-426614174000', '00000000-0000-0000-0000-000000000000', '2001:db8::1:2:34', '1.2.3.4', REPEAT('\\N\t', 60),
     REPEAT('ä\\', 200), REPEAT(0x005C4E0A, 100), ST_GeomFromText('POINT(1 2)', 4326), 7, 8),
    ('ffffffff-ffff-ffff-ffff-ffffffffffff', NULL, '::1', '255.255.255.255', '', '', '', NULL, 1, NULL),
    ('00000000-0000-0000-0000-000000000001', NULL, '::ffff:1.2.3.4', '0.0.0.0', NULL, NULL, NULL, NULL, 1, 0) ;;
CREATE TABLE key_inet (id INET6 NOT NULL, u UUID NOT NULL, PRIMARY KEY (id, u)) ;;
INSERT INTO key_inet VALUES ('::', '123e4567-e89b-12d3-a456-426614174000'), ('fe80::1234:5678', '00000000-0000-0000-0000-000000000000') ;;
/*M!110701 CREATE TABLE vectors (id INT NOT NULL PRIMARY KEY, v VECTOR(3) NOT NULL, VECTOR KEY vk (v) M=6 DISTANCE=cosine) */ ;;
/*M!110701 INSERT INTO vectors VALUES (1, VEC_FromText('[1, 2.5, -3e7]')), (2, 0x095C4E0A0A0A005C27275C5C) */ ;;

CREATE TABLE long_unique (id INT NOT NULL PRIMARY KEY, b BLOB, t TEXT, UNIQUE KEY long_one (b), UNIQUE KEY two (t, id)) ;;
INSERT INTO long_unique VALUES (1, 'x', 'y'), (2, NULL, 'y') ;;
CREATE TABLE ignored_index (id INT NOT NULL PRIMARY KEY, a INT, KEY a (a) IGNORED COMMENT 'it''s ignored', KEY b (a DESC, id)) ;;
CREATE TABLE e_aria (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, t TEXT, p POINT NOT NULL, FULLTEXT KEY (t), SPATIAL KEY (p)) ENGINE = Aria TRANSACTIONAL = 1
    PAGE_CHECKSUM = 1 AUTO_INCREMENT = 50 ;;
INSERT INTO e_aria (t, p) VALUES ('a', ST_GeomFromText('POINT(1 1)')) ;;
CREATE TABLE e_aria_not (id INT) ENGINE = Aria TRANSACTIONAL = 0 ROW_FORMAT = DYNAMIC ;;
INSERT INTO e_aria_not VALUES (1), (1) ;;
CREATE TABLE page_compressed (id INT NOT NULL PRIMARY KEY, t TEXT) PAGE_COMPRESSED = 1 PAGE_COMPRESSION_LEVEL = 3 ;;
INSERT INTO page_compressed VALUES (1, REPEAT('x', 10000)) ;;
CREATE TABLE `with options` (id INT NOT NULL PRIMARY KEY) ENGINE = InnoDB STATS_PERSISTENT = 1 `ENCRYPTED` = NO COMMENT = '\\' ;;
CREATE TABLE numbers_computed (a INT, d DOUBLE AS (a / 3) VIRTUAL, i INT AS (a) STORED UNIQUE, KEY (d)) ;;
INSERT INTO numbers_computed (a) VALUES (1), (2), (NULL) ;;

CREATE SEQUENCE s_plain ;;
CREATE SEQUENCE `s ``odd` START WITH -7 MINVALUE -100 MAXVALUE 100 INCREMENT BY -3 NOCACHE CYCLE COMMENT = 'it''s a "sequence" \\' ;;
CREATE SEQUENCE s_used START WITH 9223372036854775000 INCREMENT BY 5 CACHE 7 ;;
CREATE SEQUENCE s_ended START WITH 2 MAXVALUE 2 NOCACHE ;;
CREATE SEQUENCE s_myisam CACHE 3 ENGINE = MyISAM ;;
DO NEXTVAL(s_used), NEXTVAL(s_used), NEXTVAL(`s ``odd`), NEXTVAL(s_ended), NEXTVAL(s_myisam) ;;
DO SETVAL(s_plain, 41, 1) ;;
CREATE TABLE a_uses_sequence (id BIGINT NOT NULL DEFAULT NEXTVAL(nasty.s_used) PRIMARY KEY, o INT DEFAULT (NEXT VALUE FOR `s ``odd`), v INT) ;;
INSERT INTO a_uses_sequence (v) VALUES (1), (2) ;;

SET timestamp = 1700000000 ;;
CREATE TABLE versioned (id INT NOT NULL PRIMARY KEY, v VARCHAR(50), secret INT WITHOUT SYSTEM VERSIONING) WITH SYSTEM VERSIONING ;;
INSERT INTO versioned VALUES (1, 'one', 1), (2, 'two\\', 2), (3, 'gone', 3) ;;
SET timestamp = 1700000100.25 ;;
UPDATE versioned SET v = 'one, changed' WHERE id = 1 ;;
UPDATE versioned SET secret = 9 WHERE id = 2 ;;
SET timestamp = 1700000200.5 ;;
UPDATE versioned SET v = CONCAT(v, '\tagain') ;;
DELETE FROM versioned WHERE id = 3 ;;
CREATE TABLE versioned_columns (
    id INT NOT NULL PRIMARY KEY, v INT WITH SYSTEM VERSIONING, w INT, `from ``it` TIMESTAMP(6) GENERATED ALWAYS AS ROW START INVISIBLE,
    until TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (`from ``it`, until)
) WITH SYSTEM VERSIONING COMMENT 'with history' ;;
INSERT INTO versioned_columns (id, v, w) VALUES (1, 1, 1), (2, 2, 2) ;;
SET timestamp = 1700000300 ;;
UPDATE versioned_columns SET v = v + 10 ;;
DELETE FROM versioned_columns WHERE id = 2 ;;
CREATE TABLE versioned_parts (id INT, v INT) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME LIMIT 1000 (
    PARTITION p0 HISTORY, PARTITION p1 HISTORY, PARTITION pn CURRENT) ;;
INSERT INTO versioned_parts VALUES (1, 1), (2, 2) ;;
SET timestamp = 1700000400 ;;
UPDATE versioned_parts SET v = 5 WHERE id = 1 ;;
CREATE TABLE versioned_interval (id INT NOT NULL, PRIMARY KEY (id)) WITH SYSTEM VERSIONING
    PARTITION BY SYSTEM_TIME INTERVAL 1 MONTH STARTS TIMESTAMP'2023-11-01 00:00:00' PARTITIONS 3 ;;
INSERT INTO versioned_interval VALUES (1) ;;
CREATE TABLE versioned_transactions (
    id INT NOT NULL PRIMARY KEY, v INT, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, e BIGINT UNSIGNED GENERATED ALWAYS AS ROW END,
    PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING ;;
INSERT INTO versioned_transactions (id, v) VALUES (1, 1) ;;
UPDATE versioned_transactions SET v = 2 ;;
SET timestamp = DEFAULT ;;
CREATE TABLE periods (id INT NOT NULL, f DATE NOT NULL, t DATE NOT NULL, PERIOD FOR `valid ``it` (f, t), PRIMARY KEY (id, `valid ``it` WITHOUT OVERLAPS)) ;;
INSERT INTO periods VALUES (1, '2000-01-01', '2001-01-01'), (1, '2001-01-01', '2002-01-01') ;;
CREATE TABLE bitemporal (id INT NOT NULL, f DATETIME(6), t DATETIME(6), s TIMESTAMP(6) GENERATED ALWAYS AS ROW START,
    e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR a (f, t), PERIOD FOR SYSTEM_TIME (s, e),
    UNIQUE (id, a WITHOUT OVERLAPS)) WITH SYSTEM VERSIONING ;;
INSERT INTO bitemporal (id, f, t) VALUES (1, '2000-01-01', '2010-01-01') ;;
DELETE FROM bitemporal FOR PORTION OF a FROM '2003-01-01' TO '2004-01-01' ;;

CREATE AGGREGATE FUNCTION total_of (x INT) RETURNS INT DETERMINISTIC
BEGIN
    DECLARE total INT DEFAULT 0;
    DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN total;
    LOOP FETCH GROUP NEXT ROW; SET total = total + x; END LOOP;
END ;;
CREATE PROCEDURE with_rows () BEGIN FOR r IN (SELECT id FROM computed) DO SELECT r.id; END FOR; END ;;
CREATE VIEW history AS SELECT id, v FROM versioned FOR SYSTEM_TIME ALL ;;
CREATE VIEW `sequence view` AS SELECT next_not_cached_value AS n FROM s_plain ;;
SET sql_mode = 'ORACLE,NO_AUTO_VALUE_ON_ZERO' ;;
CREATE PACKAGE "pack `it""s" COMMENT 'it''s; a package' AS
    PROCEDURE show_it(a VARCHAR2(20));
    FUNCTION get_it RETURN INT;
END;
;;
CREATE DEFINER = "gone`away"@"no.where" PACKAGE BODY "pack `it""s" AS
    hidden INT := 5;
    FUNCTION get_it RETURN INT AS BEGIN RETURN hidden; END;
    PROCEDURE show_it(a VARCHAR2(20)) AS BEGIN SELECT a || 'it''s;' FROM DUAL; END;
BEGIN
    hidden := 6;
END;
;;
CREATE PACKAGE specification_only AS PROCEDURE nothing; END;
;;
CREATE PROCEDURE oracle_one (a IN OUT VARCHAR2) AS b a%TYPE; BEGIN a := a || 'x'; EXCEPTION WHEN OTHERS THEN NULL; END;
;;
SET sql_mode = 'MSSQL' ;;
CREATE VIEW mssql_view AS SELECT [id] FROM [computed] ;;
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO' ;;
CREATE TRIGGER on_versioned BEFORE UPDATE ON versioned FOR EACH ROW SET NEW.v = NEW.v ;;
CREATE EVENT e_slave ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01' DISABLE ON SLAVE DO SELECT 1 ;;

DROP ROLE IF EXISTS nasty_reader, `nasty role; it's`, nasty_outer ;;
DROP USER IF EXISTS nasty_plain@'%', 'nasty it''s "q" \\ `x`'@'10.0.0.0/255.255.255.0', nasty_limits@localhost, nasty_expired@'%.example.com',
    nasty_auth@localhost, nasty_hash@'%', nasty_proxied@localhost, nasty_columns@'%', nasty_locked@localhost, nasty_nothing@localhost, ''@'nasty.host' ;;
CREATE ROLE nasty_reader ;;
CREATE ROLE `nasty role; it's` WITH ADMIN nasty_reader ;;
CREATE ROLE nasty_outer ;;
GRANT SELECT, SHOW VIEW ON nasty.* TO nasty_reader ;;
GRANT nasty_reader TO nasty_outer WITH ADMIN OPTION ;;
GRANT INSERT ON nasty.* TO `nasty role; it's` ;;
CREATE USER nasty_plain@'%' IDENTIFIED BY 'it''s "secret" \\' ;;
GRANT nasty_outer TO nasty_plain@'%' ;;
GRANT `nasty role; it's` TO nasty_plain@'%' ;;
SET DEFAULT ROLE nasty_outer FOR nasty_plain@'%' ;;
CREATE USER 'nasty it''s "q" \\ `x`'@'10.0.0.0/255.255.255.0' IDENTIFIED BY 'x' REQUIRE SUBJECT '/CN=it''s' AND ISSUER '/CN="ca" \\' AND CIPHER 'TLS_AES_256_GCM_SHA384' ;;
GRANT ALL ON `nasty`.`odd ``name``."x" $(touch x) %s -y; ü '' \\` TO 'nasty it''s "q" \\ `x`'@'10.0.0.0/255.255.255.0' ;;
GRANT SELECT ON `na\_sty\%`.* TO 'nasty it''s "q" \\ `x`'@'10.0.0.0/255.255.255.0' WITH GRANT OPTION ;;
CREATE USER nasty_limits@localhost IDENTIFIED BY 'x' REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 10 MAX_UPDATES_PER_HOUR 20 MAX_CONNECTIONS_PER_HOUR 30
    MAX_USER_CONNECTIONS 40 MAX_STATEMENT_TIME 1.5 ;;
CREATE USER nasty_expired@'%.example.com' IDENTIFIED BY 'x' PASSWORD EXPIRE INTERVAL 90 DAY ;;
ALTER USER nasty_expired@'%.example.com' PASSWORD EXPIRE ;;
CREATE USER nasty_auth@localhost IDENTIFIED VIA ed25519 USING PASSWORD('x') OR unix_socket OR mysql_native_password USING PASSWORD('y') REQUIRE X509 PASSWORD EXPIRE NEVER ;;
CREATE USER nasty_hash@'%' IDENTIFIED BY PASSWORD '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19' ;;
CREATE USER nasty_proxied@localhost ;;
GRANT PROXY ON nasty_plain@'%' TO nasty_proxied@localhost WITH GRANT OPTION ;;
CREATE USER nasty_columns@'%' ;;
GRANT SELECT (`-id`, `a b`), UPDATE (`a``b`), REFERENCES (`a.b`) ON nasty.`odd ``name``."x" $(touch x) %s -y; ü '' \\` TO nasty_columns@'%' ;;
GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE nasty.`ansi "quotes` TO nasty_columns@'%' ;;
GRANT EXECUTE ON FUNCTION nasty.z_function TO nasty_columns@'%' WITH GRANT OPTION ;;
SET sql_mode = 'ORACLE' ;;
GRANT EXECUTE ON PACKAGE nasty.`pack ``it"s` TO nasty_columns@'%' ;;
GRANT EXECUTE ON PACKAGE BODY nasty.`pack ``it"s` TO nasty_columns@'%' ;;
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO' ;;
GRANT SELECT ON nasty.s_plain TO nasty_columns@'%' ;;
GRANT BINLOG MONITOR, RELOAD, DELETE HISTORY ON *.* TO nasty_columns@'%' ;;
CREATE USER nasty_locked@localhost ACCOUNT LOCK ;;
CREATE USER ''@'nasty.host' ;;
CREATE USER nasty_nothing@localhost IDENTIFIED VIA mysql_native_password USING 'invalid' ;;
