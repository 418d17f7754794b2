DELIMITER ;;
-- What MySQL and MariaDB have in common and what is hard to write down, in two databases. Each
-- statement ends with two semicolons and the end of its line, so that a reader needs no more than
-- to split there (and to leave out the first line, which is for the client program).
SET NAMES utf8mb4, sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', foreign_key_checks = 0 ;;
DROP DATABASE IF EXISTS nasty ;;
DROP DATABASE IF EXISTS `-na``sty. "o" '$(x)' %s ü` ;;
CREATE DATABASE nasty CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ;;
CREATE DATABASE `-na``sty. "o" '$(x)' %s ü` CHARACTER SET latin1 COLLATE latin1_german1_ci ;;
USE nasty ;;

CREATE TABLE numbers (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY COMMENT 'it''s a "key"; \\ `x` \n -- and /* no end',
    i1 TINYINT, u1 TINYINT UNSIGNED, i2 SMALLINT, u2 SMALLINT UNSIGNED, i3 MEDIUMINT, u3 MEDIUMINT UNSIGNED,
    i4 INT, u4 INT UNSIGNED, i8 BIGINT, u8 BIGINT UNSIGNED, z INT(8) UNSIGNED ZEROFILL, flag BOOLEAN DEFAULT TRUE,
    d DECIMAL(65,30), d0 DECIMAL(65,0), du DECIMAL(10,5) UNSIGNED, f FLOAT, fm FLOAT(10,4), g DOUBLE, gm DOUBLE(30,10),
    b1 BIT(1), b11 BIT(11), b64 BIT(64)
) AUTO_INCREMENT = 9223372036854775000 COMMENT 'numbers, with ''quotes'' and a \\ and\na second line' ;;
INSERT INTO numbers VALUES
    (0, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808, 18446744073709551615,
     7, 0, 99999999999999999999999999999999999.999999999999999999999999999999,
     -99999999999999999999999999999999999999999999999999999999999999999, 99999.99999, 3.4028234663852886e38, 123456.7891,
     1.7976931348623157e308, 12345678901234567890.123, b'1', b'11111111111', 0xFFFFFFFFFFFFFFFF),
    (1, 127, 0, 32767, 0, 8388607, 0, 2147483647, 0, 9223372036854775807, 0, 99999999, 1,
     -0.000000000000000000000000000001, 1, 0.00001, 1.17549435e-38, -0.0001, 2.2250738585072014e-308, -1e0/3,
     b'0', 0x005C, 0x090A0D005C4E2C27),
    (2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1.4e-45, 0, 4.9e-324, 0, b'0', 0x0709, 0x5C),
    (3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1e0/3, 1e0/3, 1e0/3, 1e0/3, b'0', 0, 0),
    (4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16777217, 0, 9007199254740993, 0, b'0', 0, 0),
    (5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 123456.789, 0, 0.1e0 + 0.2e0, 0, b'0', 0, 0),
    (6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -0e0, 0, -0e0, 0, b'0', 0, 0),
    (9223372036854775000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL),
    (18446744073709551000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL) ;;

CREATE TABLE dates (
    id INT NOT NULL PRIMARY KEY, d DATE, dn DATE NOT NULL DEFAULT '0000-00-00', dt DATETIME, dt6 DATETIME(6), dt3 DATETIME(3),
    ts TIMESTAMP NULL DEFAULT NULL, ts6 TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    tz TIMESTAMP NOT NULL DEFAULT '0000-00-00 00:00:00', t TIME, t6 TIME(6), y YEAR
) ;;
INSERT INTO dates VALUES
    (1, '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', '00:00:00', 0, 0),
    (2, '9999-12-31', '1000-01-01', '9999-12-31 23:59:59', '9999-12-31 23:59:59.999999', '1000-01-01 00:00:00.001',
     '1970-01-01 00:00:01', '2038-01-19 03:14:07.999999', '2023-10-29 01:30:00', '-838:59:59', '838:59:58.999999', 1901),
    (3, '2024-00-00', '2024-02-00', '2024-00-10 10:11:12', '0001-01-01 00:00:00', NULL, '2023-03-26 01:30:00',
     '2023-10-29 00:30:00.000001', '2001-09-09 01:46:40', '-00:00:01', '-00:00:00.000001', 2155),
    (4, NULL, '2023-06-15', NULL, NULL, NULL, NULL, '2000-01-01', '2000-01-01', NULL, NULL, NULL) ;;

CREATE TABLE bytes (
    id INT NOT NULL PRIMARY KEY, b BINARY(20), vb VARBINARY(300), tb TINYBLOB, bl BLOB, mb MEDIUMBLOB, lb LONGBLOB,
    cb CHAR(20) CHARACTER SET binary, ct TEXT CHARACTER SET binary
) ;;
INSERT INTO bytes VALUES
    (1, 0x00015C4E0A0D09275C221AFF2C2000, 0x00015C4E0A0D09275C221AFF2C2000, 0x00, 0x5C4E, 0x5C00, 0x0A, 0x09, 0x5C5C5C4E),
    (2, '', '', '', '', '', '', '', ''), (3, '   ', '   ', '\\N', '\\N', 'NULL', 'NULL', ' a ', ' a '),
    (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) ;;
INSERT INTO bytes (id, vb)
    WITH RECURSIVE byte (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM byte WHERE n < 255)
    SELECT 100 + n, CONCAT(CHAR(n), CHAR(n), '\\', CHAR(n), 'N') FROM byte ;;
CREATE TABLE wide (id INT NOT NULL PRIMARY KEY, before_it VARCHAR(10), b LONGBLOB, t LONGTEXT, after_it VARCHAR(10)) ;;
INSERT INTO wide VALUES
    (1, 'a', REPEAT(0x00015C4E0A0D09275C221AFF2C200041, 1048577), NULL, 'z'), (2, 'a', '', REPEAT('ä😀\\\n', 500000), 'z'),
    (3, 'a', NULL, '', 'z') ;;
SET SESSION group_concat_max_len = 1000000 ;;
SET @many = (WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 999)
    SELECT CONCAT('CREATE TABLE many_columns (id INT NOT NULL PRIMARY KEY, ', GROUP_CONCAT('`column ', n, '` ',
        ELT(n % 4 + 1, 'INT', 'TINYINT UNSIGNED DEFAULT 7', 'VARCHAR(5)', 'DATE') ORDER BY n SEPARATOR ', '), ')') FROM c) ;;
PREPARE many FROM @many ;;
EXECUTE many ;;
DEALLOCATE PREPARE many ;;
INSERT INTO many_columns (id, `column 1`, `column 2`, `column 999`) VALUES (1, 255, 'a\tb', '0000-00-00'), (2, NULL, '\\N', NULL) ;;
CREATE TABLE `empty` (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, v INT) AUTO_INCREMENT = 4000000000 ;;
CREATE TABLE empty_too (v INT) ;;

CREATE TABLE characters (
    id INT NOT NULL PRIMARY KEY,
    latin1 VARCHAR(40) CHARACTER SET latin1, mb3 VARCHAR(40) CHARACTER SET utf8mb3, mb4 VARCHAR(40) CHARACTER SET utf8mb4,
    ucs2 VARCHAR(40) CHARACTER SET ucs2, utf16 VARCHAR(40) CHARACTER SET utf16, utf16le VARCHAR(40) CHARACTER SET utf16le,
    utf32 VARCHAR(40) CHARACTER SET utf32, sjis VARCHAR(40) CHARACTER SET sjis, cp932 VARCHAR(40) CHARACTER SET cp932,
    gbk VARCHAR(40) CHARACTER SET gbk, big5 VARCHAR(40) CHARACTER SET big5, gb2312 VARCHAR(40) CHARACTER SET gb2312,
    ujis VARCHAR(40) CHARACTER SET ujis, eucjpms VARCHAR(40) CHARACTER SET eucjpms, euckr VARCHAR(40) CHARACTER SET euckr,
    cp1251 VARCHAR(40) CHARACTER SET cp1251, swe7 VARCHAR(40) CHARACTER SET swe7, ascii VARCHAR(40) CHARACTER SET ascii,
    koi8r CHAR(40) CHARACTER SET koi8r, hebrew CHAR(40) CHARACTER SET hebrew, c_ucs2 CHAR(9) CHARACTER SET ucs2,
    c_utf16 CHAR(9) CHARACTER SET utf16, c_utf32 CHAR(9) CHARACTER SET utf32, c_sjis CHAR(9) CHARACTER SET sjis,
    c_mb4 CHAR(9) CHARACTER SET utf8mb4, t_ucs2 TEXT CHARACTER SET ucs2, t_utf16 MEDIUMTEXT CHARACTER SET utf16,
    t_utf32 LONGTEXT CHARACTER SET utf32, t_sjis TEXT CHARACTER SET sjis, t_gbk TEXT CHARACTER SET gbk,
    t_big5 TEXT CHARACTER SET big5, t_latin1 TINYTEXT CHARACTER SET latin1,
    ci VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci, de VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_german2_ci
) DEFAULT CHARSET = cp1250 COMMENT 'characters: ü € 日本' ;;
INSERT INTO characters VALUES (1, 0x80E4F65C2700095C4E0A, 0xE282AC5C4E0A00, 0xF09F98805C4E0900, 0x005C004E000A20AC0000005C,
    0xD83DDE00005C004E000A, 0x3DD800DE5C000A00, 0x0001F6000000005C0000000A, 0x835C955C5C4E8380, 0x835C955CFA40,
    0xD55C815CC4E35C4E, 0xA55CB35CA7415C, 0xB0A15C, 0xA4A25C, 0xA4A25C, 0xB0A15C, 0xCFF05C, 0x5B5C7C, 0x5C7F0027, 0xC05C,
    0xE05C, 0x005C20AC, 0xD83DDE00005C, 0x0001F6000000005C, 0x835C, '😀\\', 0x005C004E000A, 0xD83DDE00005C004E, 0x0001F600,
    0x835C955C, 0xD55C815C, 0xA55CB35C, 0x80E45C, 'Ää\\', 'Ä\\') ;;
INSERT INTO characters (id, latin1, mb3, mb4, ucs2, c_ucs2, c_mb4, t_latin1) VALUES
    (2, '\\N', '\\N', '\\N', '\\N', '\\N', '\\N', '\\N'), (3, '', '', '', '', '', '', ''), (4, '  ', '  ', '  ', '  ', '  ', '  ', '  '),
    (5, 'a\nb', 'a\tb', 'a\r\nb', 'a\0b', 'NULL', '\Z', '\b'), (6, '''', '"', '`', '\\''', ';;', '-- ', '/*') ;;

CREATE TABLE choices (
    id INT NOT NULL PRIMARY KEY, e ENUM ('', 'a', '0', '1', '2;3', 'it''s', '\\N', 'ü'), es ENUM ('ソ', '表', 'a', '1') CHARACTER SET sjis,
    eu ENUM ('x', '2', '1') CHARACTER SET utf16, s SET ('a', '1', 'it''s', '\\', 'ü'), su SET ('a', 'b', '1') CHARACTER SET ucs2,
    s64 SET ('0','1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16','17','18','19','20','21','22','23','24',
        '25','26','27','28','29','30','31','32','33','34','35','36','37','38','39','40','41','42','43','44','45','46','47','48',
        '49','50','51','52','53','54','55','56','57','58','59','60','61','62','63'),
    d ENUM ('on', 'off') NOT NULL DEFAULT 'off', ds SET ('r', 'w') NOT NULL DEFAULT 'r,w'
) ;;
INSERT INTO choices VALUES
    (1, 0, 1, 1, 0, 0, 0, 1, 0), (2, 1, 2, 2, 1, 3, 9223372036854775809, 2, 1), (3, 2, 3, 3, 31, 7, 18446744073709551615, 1, 3),
    (4, 3, 4, 1, 16, 4, 9223372036854775808, 1, 2), (5, 4, 1, 2, 8, 1, 1, 1, 0), (6, 5, 1, 1, 2, 1, 2, 0, 0), (7, 6, 1, 1, 4, 1, 4, 1, 0),
    (8, 7, 1, 1, 24, 1, 8, 1, 0), (9, 8, NULL, NULL, NULL, NULL, NULL, 1, 0) ;;

CREATE TABLE documents (id INT NOT NULL PRIMARY KEY, j JSON, dj JSON DEFAULT (JSON_ARRAY(1, 'it''s'))) ;;
INSERT INTO documents (id, j) VALUES
    (1, '{"a": 1, "b": [1.0, 1e2, null, true, -0.5], "ü\\"": "x\\ny\\\\z"}'), (2, '"\\u0000\\t ä😀"'), (3, '18446744073709551615'),
    (4, '-9223372036854775808'), (5, '1.7976931348623157e308'), (6, 'null'), (7, NULL), (8, '[]'), (9, '{}'), (10, '""'),
    (11, '9007199254740993'), (12, '0.1') ;;

CREATE TABLE places (
    id INT NOT NULL PRIMARY KEY, g GEOMETRY, p POINT NOT NULL, l LINESTRING, a POLYGON, mp MULTIPOINT, ml MULTILINESTRING,
    ma MULTIPOLYGON, gc GEOMETRYCOLLECTION
) ;;
INSERT INTO places VALUES
    (1, ST_GeomFromText('POINT(92 23516)'), ST_GeomFromText('POINT(0.1 -1e300)'), ST_GeomFromText('LINESTRING(0 0, 1 1, 92 92)'),
     ST_GeomFromText('POLYGON((0 0, 10 0, 10 10, 0 10, 0 0), (1 1, 2 1, 2 2, 1 2, 1 1))'), ST_GeomFromText('MULTIPOINT(0 0, 1 2)'),
     ST_GeomFromText('MULTILINESTRING((0 0, 1 1), (2 2, 3 3))'), ST_GeomFromText('MULTIPOLYGON(((0 0, 1 0, 1 1, 0 0)))'),
     ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1), LINESTRING(0 0, 1 1))')),
    (2, ST_GeomFromText('POINT(1 2)', 4326), ST_GeomFromText('POINT(1 2)'), NULL, NULL, NULL, NULL, NULL, NULL) ;;

CREATE TABLE computed (
    id INT NOT NULL AUTO_INCREMENT, a INT, v INT GENERATED ALWAYS AS (a * 2) VIRTUAL COMMENT 'a''s double',
    s VARCHAR(50) GENERATED ALWAYS AS (CONCAT('\\', a, 'it''s', CHAR(9))) STORED, hidden INT DEFAULT 42 INVISIBLE,
    hidden_v INT GENERATED ALWAYS AS (a + 1) VIRTUAL INVISIBLE, u VARCHAR(36) DEFAULT (CONCAT('d-', 1 + 1)), c CHAR(3) DEFAULT 'a\'\\',
    e VARCHAR(20) DEFAULT (CONCAT('it''s', '\\')), low INT DEFAULT -1, bits BIT(4) DEFAULT b'101', h VARBINARY(4) DEFAULT 0x4100,
    `last ü` INT, CONSTRAINT `check ``it''s` CHECK (a <> 13 AND s <> 'x\\''y'), CHECK (low < 5), PRIMARY KEY (id), KEY v (v), KEY s (s)
) ;;
INSERT INTO computed (a, hidden, u, `last ü`) VALUES (1, DEFAULT, DEFAULT, 5), (NULL, NULL, 'x', NULL), (3, 7, DEFAULT, 1) ;;

CREATE TABLE key_composite (a INT NOT NULL, b VARCHAR(20) COLLATE utf8mb4_unicode_ci NOT NULL, c DATE NOT NULL, v TEXT, PRIMARY KEY (b, a, c)) ;;
INSERT INTO key_composite VALUES (1, 'ä', '2024-01-01', 'x'), (2, 'A', '0000-00-00', 'y'), (-1, 'b', '9999-12-31', 'z'), (1, '', '2000-01-01', ''),
    (3, 'a''b\\', '2000-01-01', ''), (4, 'ß', '2000-01-01', ''), (5, 'ss ', '2000-01-01', '') ;;
CREATE TABLE key_binary (id BINARY(16) NOT NULL PRIMARY KEY, v INT) ;;
INSERT INTO key_binary VALUES (0x00, 1), (0x5C4E0A0900275CFFFFFFFFFFFFFFFFFF, 2), (0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF, 3) ;;
CREATE TABLE key_varbinary (id VARBINARY(300) NOT NULL, v INT, PRIMARY KEY (id)) ;;
INSERT INTO key_varbinary VALUES ('', 1), (0x00, 2), (0x0000, 3), (0x5C, 4), (0xFF, 5) ;;
CREATE TABLE key_decimal (id DECIMAL(38,18) NOT NULL PRIMARY KEY, v INT) ;;
INSERT INTO key_decimal VALUES (-99999999999999999999.999999999999999999, 1), (0, 2), (0.000000000000000001, 3) ;;
CREATE TABLE key_date (id DATE NOT NULL PRIMARY KEY) ;;
INSERT INTO key_date VALUES ('0000-00-00'), ('2024-00-00'), ('2024-02-29'), ('9999-12-31') ;;
CREATE TABLE key_datetime (id DATETIME(6) NOT NULL, ts TIMESTAMP NOT NULL DEFAULT '2000-01-01', PRIMARY KEY (id, ts)) ;;
INSERT INTO key_datetime VALUES ('0000-00-00', '1970-01-01 00:00:01'), ('2023-10-29 02:30:00.000001', '2023-10-29 01:30:00') ;;
CREATE TABLE key_float (id DOUBLE NOT NULL, f FLOAT NOT NULL, PRIMARY KEY (id, f)) ;;
INSERT INTO key_float VALUES (1e0/3, 1e0/3), (-1.7976931348623157e308, 3.4028234663852886e38), (0.1, 16777217) ;;
CREATE TABLE key_unsigned (id BIGINT UNSIGNED NOT NULL PRIMARY KEY) ;;
INSERT INTO key_unsigned VALUES (0), (1), (9223372036854775807), (9223372036854775808), (18446744073709551615) ;;
CREATE TABLE key_string (id VARCHAR(50) CHARACTER SET sjis NOT NULL PRIMARY KEY, v INT) ;;
INSERT INTO key_string VALUES (0x835C, 1), (0x955C5C, 2), ('', 3), ('\\', 4) ;;
CREATE TABLE key_utf16 (id VARCHAR(50) CHARACTER SET utf16 NOT NULL, PRIMARY KEY (id)) ;;
INSERT INTO key_utf16 VALUES (0xD83DDE00005C), (''), ('\\N') ;;
CREATE TABLE key_enum (id ENUM ('z', 'a', '1') NOT NULL, b BIT(8) NOT NULL, t TIME(3) NOT NULL, y YEAR NOT NULL, PRIMARY KEY (id, b, t, y)) ;;
INSERT INTO key_enum VALUES (1, b'0', '-838:59:59', 0), (2, 0x5C, '10:00:00.123', 2155), (3, 0xFF, '00:00:00', 1999) ;;
CREATE TABLE key_prefix (id VARCHAR(200) NOT NULL, b BLOB NOT NULL, PRIMARY KEY (id(3), b(2))) ;;
INSERT INTO key_prefix VALUES ('abcdef', 'xyz'), ('abd', ''), ('', 0x0001) ;;
CREATE TABLE key_none (a INT, b TEXT) ;;
INSERT INTO key_none VALUES (1, 'same'), (1, 'same'), (NULL, NULL), (NULL, NULL), (1, 'same') ;;
CREATE TABLE key_unique (a INT NOT NULL, b INT, c VARCHAR(20) NOT NULL, UNIQUE KEY b (b), UNIQUE KEY `a c` (a, c) COMMENT 'the ''one''') ;;
INSERT INTO key_unique VALUES (1, NULL, 'x'), (2, NULL, 'x'), (3, 1, 'y') ;;
CREATE TABLE key_last (v INT, a INT NOT NULL, id INT NOT NULL, PRIMARY KEY (id), KEY (v), KEY (a, v)) ;;
INSERT INTO key_last VALUES (1, 2, 3), (4, 5, 6) ;;
CREATE TABLE auto_second_key (a INT, id INT NOT NULL AUTO_INCREMENT, KEY (id, a), KEY (a)) AUTO_INCREMENT = 100 ;;
INSERT INTO auto_second_key VALUES (1, -5), (2, 0), (3, 7) ;;

CREATE TABLE `odd ``name``."x" $(touch x) %s -y; ü '' \\` (
    `-id` INT NOT NULL PRIMARY KEY, `a b` INT, `a``b` INT, `a.b` INT, `a"b` INT, `a'b` INT, `$(x)` INT, `%` INT, `ü日本` INT, `select` INT,
    `a\b` INT, `@v` INT, `(` INT, `,` INT, `;;x` INT, `1` INT, ` lead` INT, KEY `k ``;-- x` (`a b`), KEY `ü (x) , y` (`(`, `,`)
) ;;
INSERT INTO `odd ``name``."x" $(touch x) %s -y; ü '' \\` VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17) ;;
CREATE TABLE `-x` (a INT PRIMARY KEY) ;;
CREATE TABLE `a b` (a INT PRIMARY KEY) ;;
CREATE TABLE `*` (`*` INT PRIMARY KEY) ;;
CREATE TABLE `../up` (a INT PRIMARY KEY) ;;
CREATE TABLE `con` (a INT PRIMARY KEY) ;;
CREATE TABLE `Case` (a INT PRIMARY KEY) ;;
CREATE TABLE `case` (a INT PRIMARY KEY) ;;
CREATE TABLE `x234567890123456789012345678901234567890123456789012345678901234` (
    `y234567890123456789012345678901234567890123456789012345678901234` INT PRIMARY KEY) ;;
INSERT INTO `-x` VALUES (1) ;;
INSERT INTO `*` VALUES (1) ;;
INSERT INTO `../up` VALUES (1) ;;
INSERT INTO `Case` VALUES (1) ;;
INSERT INTO `case` VALUES (2) ;;

CREATE TABLE part_range (id INT NOT NULL, d DATE, PRIMARY KEY (id)) PARTITION BY RANGE (id) (
    PARTITION p0 VALUES LESS THAN (-5) COMMENT = 'it''s', PARTITION `p ``1` VALUES LESS THAN (10), PARTITION pmax VALUES LESS THAN MAXVALUE) ;;
INSERT INTO part_range VALUES (-10, NULL), (0, '2024-01-01'), (10, NULL), (2147483647, NULL) ;;
CREATE TABLE part_range_columns (a INT, s VARCHAR(20), d DATE) PARTITION BY RANGE COLUMNS (s, d) (
    PARTITION p0 VALUES LESS THAN ('it''s', '2024-01-01'), PARTITION p1 VALUES LESS THAN (MAXVALUE, MAXVALUE)) ;;
INSERT INTO part_range_columns VALUES (1, 'a', '2000-01-01'), (2, 'z', NULL), (3, NULL, NULL) ;;
CREATE TABLE part_list (id INT, v INT) PARTITION BY LIST (id) (
    PARTITION p0 VALUES IN (NULL, 1, 3), PARTITION p1 VALUES IN (2, -4)) ;;
INSERT INTO part_list VALUES (NULL, 1), (1, 1), (2, 2), (-4, 2) ;;
CREATE TABLE part_list_columns (s VARCHAR(10) CHARACTER SET latin1, v INT) PARTITION BY LIST COLUMNS (s) (
    PARTITION p0 VALUES IN ('a', 'it''s'), PARTITION p1 VALUES IN ('\\', '')) ;;
INSERT INTO part_list_columns VALUES ('a', 1), ('it''s', 2), ('\\', 3), ('', 4) ;;
CREATE TABLE part_hash (id INT NOT NULL PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 3 ;;
INSERT INTO part_hash VALUES (1, 1), (2, 2), (3, 3), (4, 4) ;;
CREATE TABLE part_linear_hash (d DATE NOT NULL, v INT) PARTITION BY LINEAR HASH (YEAR(d)) PARTITIONS 4 ;;
INSERT INTO part_linear_hash VALUES ('2001-01-01', 1), ('2002-01-01', 2) ;;
CREATE TABLE part_key (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, v INT) AUTO_INCREMENT = 777 PARTITION BY KEY () PARTITIONS 3 ;;
INSERT INTO part_key (v) VALUES (1), (2), (3) ;;
CREATE TABLE part_sub (id INT, d DATE) PARTITION BY RANGE (YEAR(d)) SUBPARTITION BY HASH (TO_DAYS(d)) (
    PARTITION p0 VALUES LESS THAN (2000) (SUBPARTITION s0, SUBPARTITION `s 1` COMMENT = 'sub'),
    PARTITION p1 VALUES LESS THAN MAXVALUE (SUBPARTITION s2, SUBPARTITION s3)) ;;
INSERT INTO part_sub VALUES (1, '1990-01-01'), (2, '2020-01-01'), (3, NULL) ;;

CREATE TABLE indexed (
    id INT NOT NULL, a VARCHAR(200) NOT NULL, b TEXT, c BLOB, d INT, p POINT NOT NULL, z TEXT NOT NULL,
    PRIMARY KEY (id), UNIQUE KEY u_prefix (a(5), d), KEY k_prefix (b(10), c(7)), KEY k_desc (d DESC, id ASC, a(3) DESC),
    FULLTEXT KEY ft (a, b), FULLTEXT KEY `ft z` (z) COMMENT 'it''s full', SPATIAL KEY sp (p), KEY k_hash (d) USING BTREE COMMENT 'x "y" \\'
) COMMENT 'indexes' ;;
INSERT INTO indexed VALUES (1, 'hello world', 'some text', 'x', 1, ST_GeomFromText('POINT(1 1)'), 'zzz'),
    (2, 'other', NULL, NULL, NULL, ST_GeomFromText('POINT(2 2)'), '') ;;

CREATE TABLE fk_self (id INT NOT NULL PRIMARY KEY, parent INT, CONSTRAINT `fk ``self` FOREIGN KEY (parent) REFERENCES fk_self (id) ON DELETE CASCADE) ;;
INSERT INTO fk_self VALUES (1, 2), (2, 1), (3, 3), (4, NULL) ;;
CREATE TABLE fk_a (id INT NOT NULL PRIMARY KEY, b INT, CONSTRAINT fk_a_b FOREIGN KEY (b) REFERENCES fk_b (id) ON UPDATE CASCADE ON DELETE SET NULL) ;;
CREATE TABLE fk_b (id INT NOT NULL PRIMARY KEY, a INT NOT NULL, x INT, y INT, UNIQUE KEY xy (x, y), CONSTRAINT fk_b_a FOREIGN KEY (a) REFERENCES fk_a (id)) ;;
CREATE TABLE aa_child (id INT NOT NULL PRIMARY KEY, x INT, y INT, KEY odd_order (y), KEY xy (x, y, id),
    CONSTRAINT fk_c FOREIGN KEY (x, y) REFERENCES fk_b (x, y) ON DELETE NO ACTION ON UPDATE RESTRICT) ;;
INSERT INTO fk_a VALUES (1, 1), (2, NULL) ;;
INSERT INTO fk_b VALUES (1, 1, 5, 6), (2, 2, NULL, 7) ;;
INSERT INTO aa_child VALUES (1, 5, 6), (2, NULL, 99) ;;
CREATE TABLE `-na``sty. "o" '$(x)' %s ü`.`far ``table` (id INT NOT NULL PRIMARY KEY, a INT, t VARCHAR(20), KEY (a),
    CONSTRAINT fk_far FOREIGN KEY (a) REFERENCES nasty.fk_a (id) ON DELETE CASCADE) ;;
INSERT INTO `-na``sty. "o" '$(x)' %s ü`.`far ``table` VALUES (1, 1, 0xE4), (2, NULL, '\\N') ;;
CREATE TABLE fk_far (id INT NOT NULL PRIMARY KEY, CONSTRAINT fk_back FOREIGN KEY (id) REFERENCES `-na``sty. "o" '$(x)' %s ü`.`far ``table` (id)) ;;
INSERT INTO fk_far VALUES (1) ;;

CREATE TABLE e_myisam (a INT NOT NULL, id INT NOT NULL AUTO_INCREMENT, t TEXT, PRIMARY KEY (a, id), FULLTEXT KEY (t))
    ENGINE = MyISAM ROW_FORMAT = DYNAMIC CHECKSUM = 1 DELAY_KEY_WRITE = 1 PACK_KEYS = 1 MAX_ROWS = 1000000 AVG_ROW_LENGTH = 50 ;;
INSERT INTO e_myisam (a, t) VALUES (1, 'one'), (1, 'two'), (2, 'three') ;;
CREATE TABLE e_myisam_fixed (id INT NOT NULL PRIMARY KEY, c CHAR(10)) ENGINE = MyISAM ROW_FORMAT = FIXED ;;
INSERT INTO e_myisam_fixed VALUES (1, 'x') ;;
CREATE TABLE e_memory (id INT NOT NULL, c VARCHAR(10), KEY h (id) USING HASH, KEY b (c) USING BTREE) ENGINE = MEMORY ;;
INSERT INTO e_memory VALUES (1, 'a'), (2, 'b') ;;
CREATE TABLE e_csv (id INT NOT NULL, t VARCHAR(100) NOT NULL) ENGINE = CSV ;;
INSERT INTO e_csv VALUES (1, 'a "quoted", text'), (2, 'new\nline \\'), (3, '') ;;
CREATE TABLE e_merge_one (a INT NOT NULL, KEY (a)) ENGINE = MyISAM ;;
CREATE TABLE e_merge_two (a INT NOT NULL, KEY (a)) ENGINE = MyISAM ;;
INSERT INTO e_merge_one VALUES (1) ;;
INSERT INTO e_merge_two VALUES (2) ;;
CREATE TABLE e_merge (a INT NOT NULL, KEY (a)) ENGINE = MRG_MyISAM UNION = (e_merge_one, e_merge_two) INSERT_METHOD = LAST ;;
CREATE TABLE format_redundant (id INT NOT NULL PRIMARY KEY, v TEXT) ROW_FORMAT = REDUNDANT ;;
CREATE TABLE format_compact (id INT NOT NULL PRIMARY KEY, v TEXT) ROW_FORMAT = COMPACT STATS_PERSISTENT = 0 STATS_AUTO_RECALC = 0 ;;
CREATE TABLE format_compressed (id INT NOT NULL PRIMARY KEY, v TEXT) ROW_FORMAT = COMPRESSED KEY_BLOCK_SIZE = 4 STATS_SAMPLE_PAGES = 12 ;;
INSERT INTO format_redundant VALUES (1, REPEAT('r', 20000)) ;;
INSERT INTO format_compressed VALUES (1, REPEAT('c', 20000)) ;;

CREATE FUNCTION z_function (i INT) RETURNS VARCHAR(50) CHARSET latin1 DETERMINISTIC NO SQL SQL SECURITY INVOKER COMMENT 'it''s; "x" \\'
BEGIN
    -- a comment; with semicolons
    IF i IS NULL THEN RETURN 'none\\'; END IF;
    RETURN CONCAT('f', i);
END ;;
CREATE VIEW zz_base AS SELECT id, a FROM computed WHERE a IS NOT NULL ;;
CREATE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW mm_middle (`i d`, `f ``x`) AS SELECT id, z_function(a) FROM zz_base ;;
CREATE ALGORITHM = TEMPTABLE VIEW aa_top AS SELECT m.`i d` AS x, COUNT(*) AS `c'nt`, 'it''s \\ \n' AS t FROM mm_middle m GROUP BY m.`i d` ;;
CREATE VIEW checked AS SELECT id, a FROM computed WHERE a > 0 WITH CASCADED CHECK OPTION ;;
CREATE VIEW checked_local AS SELECT id, a FROM checked WHERE a < 1000 WITH LOCAL CHECK OPTION ;;
CREATE DEFINER = `gone``away`@`no.where` SQL SECURITY INVOKER VIEW `odd ``view` AS SELECT `-id`, `a``b` FROM `odd ``name``."x" $(touch x) %s -y; ü '' \\` ;;
CREATE VIEW `-na``sty. "o" '$(x)' %s ü`.a_far AS SELECT f.id, b.`c'nt` FROM `-na``sty. "o" '$(x)' %s ü`.`far ``table` f JOIN nasty.aa_top b ON b.x = f.id ;;
CREATE VIEW nothing AS SELECT NULL AS n, 1 AS `1`, 1e0 AS f, _latin1 0xE4 AS l ;;

SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,NO_AUTO_VALUE_ON_ZERO' ;;
CREATE DEFINER = `gone``away`@`no.where` PROCEDURE "ansi ""quotes" (IN "a b" INT, OUT r TEXT, INOUT c CHAR(3) CHARACTER SET ucs2)
READS SQL DATA
BEGIN
    DECLARE EXIT HANDLER FOR SQLEXCEPTION SET r = 'c:\x' || 'y';
    SELECT "-id" || 'it''s \' INTO r FROM "odd `name`.""x"" $(touch x) %s -y; ü '' \\" LIMIT 1;
END ;;
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO' ;;
SET NAMES latin1 COLLATE latin1_german2_ci ;;
CREATE PROCEDURE latin () SELECT 'Ã¤ as latin1: ä' ;;
CREATE VIEW latin_view AS SELECT 'ä' AS a, _utf8mb4 'ä' AS b ;;
SET NAMES cp1251 ;;
CREATE FUNCTION cyrillic () RETURNS TEXT CHARSET cp1251 DETERMINISTIC RETURN 'ы' ;;
SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci ;;
USE `-na``sty. "o" '$(x)' %s ü` ;;
CREATE PROCEDURE `p ``1` (x VARCHAR(10)) SELECT x ;;
ALTER DATABASE `-na``sty. "o" '$(x)' %s ü` CHARACTER SET sjis ;;
CREATE PROCEDURE `p 2` (x VARCHAR(10)) SELECT x ;;
CREATE FUNCTION `p 2` () RETURNS INT DETERMINISTIC RETURN 1 ;;
USE nasty ;;
CREATE PROCEDURE empty_body () BEGIN END ;;
CREATE PROCEDURE comments () /* before */ BEGIN /* in; */ # hash;
    -- dash;
    SELECT ';;' /*! , 2 */ ; END ;;

CREATE TABLE triggered (id INT NOT NULL PRIMARY KEY, v VARCHAR(100)) ;;
CREATE TABLE trigger_log (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, what VARCHAR(100)) ;;
INSERT INTO triggered VALUES (1, 'before any trigger') ;;
CREATE TRIGGER z_first BEFORE INSERT ON triggered FOR EACH ROW SET NEW.v = CONCAT(NEW.v, ' z') ;;
CREATE TRIGGER a_second BEFORE INSERT ON triggered FOR EACH ROW FOLLOWS z_first SET NEW.v = CONCAT(NEW.v, ' a') ;;
CREATE TRIGGER m_zeroth BEFORE INSERT ON triggered FOR EACH ROW PRECEDES z_first
BEGIN
    IF NEW.id < 0 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no; ''negative'' \\ ones'; END IF;
    SET NEW.v = CONCAT(NEW.v, ' m');
END ;;
CREATE DEFINER = `gone``away`@`no.where` TRIGGER `after ``it` AFTER INSERT ON triggered FOR EACH ROW INSERT INTO trigger_log (what) VALUES ('in''s') ;;
CREATE TRIGGER au AFTER UPDATE ON triggered FOR EACH ROW INSERT INTO trigger_log (what) VALUES (CONCAT(OLD.v, '->', NEW.v)) ;;
CREATE TRIGGER bd BEFORE DELETE ON triggered FOR EACH ROW INSERT INTO nasty.trigger_log (what) VALUES ('d') ;;
SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES' ;;
SET NAMES latin1 ;;
CREATE TRIGGER "odd ""mode" AFTER DELETE ON triggered FOR EACH ROW INSERT INTO "trigger_log" ("what") VALUES ('\ä') ;;
SET NAMES utf8mb4 ;;
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO' ;;

CREATE EVENT e_every ON SCHEDULE EVERY '1:30' HOUR_MINUTE STARTS '2037-01-01 00:00:00' ENDS '2037-12-31 00:00:00' ON COMPLETION PRESERVE
    COMMENT 'it''s; "x" \\' DO BEGIN INSERT INTO trigger_log (what) VALUES ('event;'); END ;;
SET time_zone = '+05:30' ;;
CREATE DEFINER = `gone``away`@`no.where` EVENT `e ``once` ON SCHEDULE AT '2037-03-01 12:00:00' ON COMPLETION PRESERVE DISABLE DO SELECT 1 ;;
SET time_zone = 'SYSTEM', sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES' ;;
CREATE EVENT e_mode ON SCHEDULE EVERY 7 YEAR STARTS '2037-01-01' DO SELECT 'a\b' AS "x" ;;
SET time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 1 ;;
