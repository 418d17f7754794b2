DELIMITER ;;
-- Views that can be neither read nor, most of them, made again: who defined them or what they stand
-- on is gone. In a database of its own, since dumps stop at it. For MySQL and MariaDB alike.
SET NAMES utf8mb4, sql_mode = '', foreign_key_checks = 0 ;;
DROP DATABASE IF EXISTS nasty_views ;;
CREATE DATABASE nasty_views CHARACTER SET utf8mb4 ;;
USE nasty_views ;;
DROP USER IF EXISTS nasty_gone@localhost ;;
CREATE USER nasty_gone@localhost ;;
GRANT ALL ON nasty_views.* TO nasty_gone@localhost ;;
CREATE TABLE t (id INT NOT NULL PRIMARY KEY, v VARCHAR(10)) ;;
INSERT INTO t VALUES (1, 'x') ;;
CREATE TABLE changed (id INT, v INT) ;;
CREATE TABLE gone (id INT, v INT) ;;
CREATE FUNCTION gone_function (i INT) RETURNS INT DETERMINISTIC RETURN i ;;
CREATE VIEW a_readable AS SELECT id, v FROM t ;;
CREATE DEFINER = nasty_gone@localhost SQL SECURITY DEFINER VIEW definer_gone AS SELECT id FROM t ;;
CREATE VIEW a_on_definer_gone AS SELECT id FROM definer_gone ;;
CREATE VIEW table_gone AS SELECT id, v FROM gone ;;
CREATE VIEW function_gone AS SELECT gone_function(id) AS f FROM t ;;
CREATE VIEW column_gone AS SELECT v AS w FROM changed ;;
CREATE VIEW star AS SELECT * FROM changed ;;
CREATE DEFINER = nasty_gone@localhost PROCEDURE still_there () SELECT 1 ;;
CREATE DEFINER = nasty_gone@localhost TRIGGER still_fires BEFORE UPDATE ON t FOR EACH ROW SET NEW.id = NEW.id ;;
DROP USER nasty_gone@localhost ;;
DROP TABLE gone ;;
DROP FUNCTION gone_function ;;
ALTER TABLE changed RENAME COLUMN v TO renamed ;;
