DROP TABLE comment; DROP TABLE post; DROP TYPE mood;
