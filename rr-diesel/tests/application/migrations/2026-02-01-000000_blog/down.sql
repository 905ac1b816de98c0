DROP FUNCTION on_standby; DROP TABLE visit; DROP TABLE comment; DROP TABLE post; DROP TABLE author; DROP TYPE mood;
