DELIMITER ;;
-- What only MySQL has; to be loaded after nasty.sql. It makes users and roles that begin with "nasty", too.
SET NAMES utf8mb4, sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00' ;;
USE nasty ;;

CREATE TABLE functional (
    id INT NOT NULL PRIMARY KEY, a INT, b VARCHAR(50), j JSON, KEY f1 ((a + 1)), KEY `f ``2` ((LOWER(b)), a DESC), UNIQUE KEY f3 ((CONCAT(b, 'it''s\\'))),
    KEY multi (a, (CAST(j->'$.list' AS UNSIGNED ARRAY))), KEY hidden (b) /*!80000 INVISIBLE */ COMMENT 'it''s hidden', FULLTEXT KEY grams (b) WITH PARSER ngram
) ;;
INSERT INTO functional VALUES (1, 2, 'It''s', '{"list": [1, 2, 3]}'), (2, NULL, NULL, NULL) ;;
CREATE TABLE checked_not (id INT NOT NULL PRIMARY KEY, a INT, CONSTRAINT c1 CHECK (a > 5) NOT ENFORCED, CONSTRAINT c2 CHECK (a < 100 AND a <> ASCII('\''))) ;;
INSERT INTO checked_not VALUES (1, 1) ;;
CREATE TABLE typed_json (id INT NOT NULL PRIMARY KEY, j JSON) ;;
INSERT INTO typed_json VALUES (1, CAST(18446744073709551615 AS JSON)), (2, JSON_ARRAY(1.0e0, 1, TRUE, NULL)), (3, '[0.1, 1e300, -0.0]') ;;
CREATE TABLE places_with_srid (id INT NOT NULL PRIMARY KEY, p POINT NOT NULL SRID 4326, q GEOMETRY NOT NULL SRID 0, r POINT SRID 3857, SPATIAL KEY p (p), SPATIAL KEY q (q)) ;;
INSERT INTO places_with_srid VALUES (1, ST_GeomFromText('POINT(52.5 13.4)', 4326), ST_GeomFromText('POINT(1 1)'), ST_GeomFromText('POINT(1 1)', 3857)) ;;
/*!90000 CREATE TABLE vectors (id INT NOT NULL PRIMARY KEY, v VECTOR(3), w VECTOR) */ ;;
/*!90000 INSERT INTO vectors VALUES (1, STRING_TO_VECTOR('[1, 2.5, -3e38]'), NULL), (2, 0x095C4E0A0A0A005C27275C5C, STRING_TO_VECTOR('[0]')) */ ;;
SET sql_generate_invisible_primary_key = ON ;;
CREATE TABLE key_generated (a INT, b VARCHAR(10)) ;;
SET sql_generate_invisible_primary_key = OFF ;;
INSERT INTO key_generated VALUES (1, 'x'), (1, 'x'), (2, NULL) ;;
DELETE FROM key_generated WHERE my_row_id = 2 ;;
CREATE TABLE key_hidden (id INT NOT NULL AUTO_INCREMENT INVISIBLE, v INT, PRIMARY KEY (id)) ;;
INSERT INTO key_hidden (v) VALUES (1), (2) ;;
CREATE TABLE key_descending (a INT NOT NULL, b VARCHAR(10) NOT NULL, PRIMARY KEY (a DESC, b)) ;;
INSERT INTO key_descending VALUES (1, 'x'), (2, 'y'), (-3, '') ;;
CREATE TABLE collations (
    id INT NOT NULL PRIMARY KEY, a VARCHAR(20) COLLATE utf8mb4_0900_ai_ci, b VARCHAR(20) COLLATE utf8mb4_0900_bin, c VARCHAR(20) COLLATE utf8mb4_ja_0900_as_cs_ks,
    d VARCHAR(20) CHARACTER SET gb18030, e VARCHAR(20) COLLATE utf8mb4_de_pb_0900_as_cs, f NATIONAL CHAR(5)
) COLLATE utf8mb4_tr_0900_ai_ci ;;
INSERT INTO collations VALUES (1, 'ä😀', 'ä\\', 'カ', 0x815C81308130, 'ß', 'n') ;;
CREATE TABLE key_0900 (id VARCHAR(20) COLLATE utf8mb4_0900_ai_ci NOT NULL PRIMARY KEY) ;;
INSERT INTO key_0900 VALUES ('a'), ('b '), ('b'), ('ß'), ('') ;;
CREATE TABLE page_compressed (id INT NOT NULL PRIMARY KEY, t TEXT) COMPRESSION = 'zlib' ;;
INSERT INTO page_compressed VALUES (1, REPEAT('x', 10000)) ;;
CREATE TABLE e_archive (id INT, t TEXT) ENGINE = ARCHIVE ;;
INSERT INTO e_archive VALUES (1, 'x'), (1, 'x') ;;
CREATE TABLE e_blackhole (id INT NOT NULL PRIMARY KEY) ENGINE = BLACKHOLE ;;
CREATE TABLE options_of_all (id INT NOT NULL PRIMARY KEY, v INT SECONDARY_ENGINE_ATTRIBUTE = '{"it''s": 1}', KEY v (v))
    AUTOEXTEND_SIZE = 4M SECONDARY_ENGINE_ATTRIBUTE = '{"a": "\\""}' TABLESPACE = innodb_file_per_table ;;
CREATE TABLE computed_more (a INT, d DOUBLE AS (a / 3) VIRTUAL, n INT AS (a) STORED NOT NULL UNIQUE, r DOUBLE DEFAULT (PI()), u BINARY(16) DEFAULT (UUID_TO_BIN('123e4567-e89b-12d3-a456-426614174000')), KEY (d)) ;;
INSERT INTO computed_more (a) VALUES (1), (2) ;;
CREATE TABLE histograms (a INT, b VARCHAR(10)) ;;
INSERT INTO histograms VALUES (1, 'x'), (2, 'y'), (2, 'y') ;;
ANALYZE TABLE histograms UPDATE HISTOGRAM ON a, b WITH 8 BUCKETS ;;
ALTER TABLE histograms ADD COLUMN c INT DEFAULT 9, ALGORITHM = INSTANT ;;
ALTER TABLE histograms ADD COLUMN d INT FIRST, DROP COLUMN b, ALGORITHM = INSTANT ;;

CREATE PROCEDURE with_signal () BEGIN DECLARE x CONDITION FOR SQLSTATE '45000'; SIGNAL x SET MESSAGE_TEXT = 'it''s'; END ;;
CREATE VIEW with_cte AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i, ROW_NUMBER() OVER w AS r FROM n WINDOW w AS (ORDER BY i DESC) ;;
CREATE VIEW with_table AS SELECT t.* FROM JSON_TABLE('[{"a": "it''s"}]', '$[*]' COLUMNS (a VARCHAR(10) PATH '$.a')) AS t ;;
/*!90400 CREATE LIBRARY `lib ``1` COMMENT 'it''s a library' LANGUAGE JAVASCRIPT AS $$export function twice(n) { return n * 2 // 'it''s;'
}$$ */ ;;
/*!90400 CREATE FUNCTION in_javascript (n INT) RETURNS INT DETERMINISTIC LANGUAGE JAVASCRIPT USING (`lib ``1` AS l) AS $js$ return l.twice(n) + '$$'.length $js$ */ ;;
/*!90400 CREATE JSON RELATIONAL DUALITY VIEW duality AS SELECT JSON_DUALITY_OBJECT('_id': id, 'it''s': a) FROM functional */ ;;
CREATE TRIGGER on_computed BEFORE INSERT ON computed_more FOR EACH ROW SET NEW.a = NEW.a + 0 ;;
CREATE EVENT e_replica ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01' DISABLE ON SLAVE DO SELECT 1 ;;

DROP ROLE IF EXISTS nasty_reader, 'nasty role; it''s', nasty_outer ;;
DROP USER IF EXISTS nasty_plain@'%', 'nasty it''s "q" \\ `x`'@'10.0.0.0/255.255.255.0', nasty_limits@localhost, nasty_expired@'%.example.com',
    nasty_two@localhost, nasty_hash@'%', nasty_proxied@localhost, nasty_columns@'%', nasty_locked@localhost, nasty_raw@localhost, ''@'nasty.host' ;;
CREATE ROLE nasty_reader, 'nasty role; it''s', nasty_outer ;;
GRANT SELECT, SHOW VIEW ON nasty.* TO nasty_reader ;;
GRANT nasty_reader TO nasty_outer WITH ADMIN OPTION ;;
GRANT INSERT ON nasty.* TO 'nasty role; it''s' ;;
CREATE USER nasty_plain@'%' IDENTIFIED BY 'it''s "secret" \\' DEFAULT ROLE nasty_outer COMMENT 'it''s "a" user' ;;
GRANT nasty_outer, 'nasty role; it''s' TO nasty_plain@'%' ;;
SET DEFAULT ROLE ALL TO nasty_plain@'%' ;;
CREATE USER 'nasty it''s "q" \\ `x`'@'10.0.0.0/255.255.255.0' IDENTIFIED BY 'x' REQUIRE SUBJECT '/CN=it''s' AND ISSUER '/CN="ca" \\' AND CIPHER 'TLS_AES_256_GCM_SHA384' ;;
GRANT ALL ON `nasty`.`odd ``name``."x" $(touch x) %s -y; ü '' \\` TO 'nasty it''s "q" \\ `x`'@'10.0.0.0/255.255.255.0' ;;
GRANT SELECT ON `na\_sty\%`.* TO 'nasty it''s "q" \\ `x`'@'10.0.0.0/255.255.255.0' WITH GRANT OPTION ;;
CREATE USER nasty_limits@localhost IDENTIFIED BY 'x' REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 10 MAX_UPDATES_PER_HOUR 20 MAX_CONNECTIONS_PER_HOUR 30
    MAX_USER_CONNECTIONS 40 PASSWORD HISTORY 3 PASSWORD REUSE INTERVAL 7 DAY PASSWORD REQUIRE CURRENT OPTIONAL FAILED_LOGIN_ATTEMPTS 4 PASSWORD_LOCK_TIME UNBOUNDED ;;
CREATE USER nasty_expired@'%.example.com' IDENTIFIED BY 'x' PASSWORD EXPIRE INTERVAL 90 DAY ATTRIBUTE '{"team": "it\\u0027s", "n": [1, 2]}' ;;
ALTER USER nasty_expired@'%.example.com' PASSWORD EXPIRE ;;
CREATE USER nasty_two@localhost IDENTIFIED BY 'old' ;;
ALTER USER nasty_two@localhost IDENTIFIED BY 'new' RETAIN CURRENT PASSWORD ;;
CREATE USER nasty_hash@'%' IDENTIFIED WITH sha256_password BY 'x' ;;
CREATE USER nasty_raw@localhost IDENTIFIED WITH caching_sha2_password AS 0x24412430303524415C27220A0930313233343536373839303132334142434445464748494A4B4C4D4E4F505152535455565758595A6162636465666768696A6B6C6D6E6F7071 ;;
CREATE USER nasty_proxied@localhost ;;
GRANT PROXY ON nasty_plain@'%' TO nasty_proxied@localhost WITH GRANT OPTION ;;
CREATE USER nasty_columns@'%' ;;
GRANT SELECT (`-id`, `a b`), UPDATE (`a``b`), REFERENCES (`a.b`) ON nasty.`odd ``name``."x" $(touch x) %s -y; ü '' \\` TO nasty_columns@'%' ;;
GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE nasty.`ansi "quotes` TO nasty_columns@'%' ;;
GRANT EXECUTE ON FUNCTION nasty.z_function TO nasty_columns@'%' WITH GRANT OPTION ;;
GRANT BACKUP_ADMIN, RELOAD, SYSTEM_VARIABLES_ADMIN ON *.* TO nasty_columns@'%' ;;
GRANT CONNECTION_ADMIN ON *.* TO nasty_columns@'%' WITH GRANT OPTION ;;
CREATE USER nasty_locked@localhost ACCOUNT LOCK ;;
CREATE USER ''@'nasty.host' ;;
