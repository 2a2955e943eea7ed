"""Test vectors: what a second implementation of Wardround's formats must write, read and refuse.

Each `*.json` here is one format. `about` says what is given and what is wanted. `vectors` has, by name:

- `given` and `want`: from the one comes the other, to the last character;
- `given` and `refused`, of names that begin with `bad_`: what must not pass. `error` is the type that Wardround raises
  (`pipeline/errors.py`), `says` a part of its message. Another implementation may use other words: it must refuse.

A second implementer reads a file with any JSON parser, computes each `given` and compares. Bytes stand in hexadecimal,
files in base64; 64-bit words as decimal strings, since many parsers lose integers beyond 2^53. All keys are for tests.

`python -m tests.vectors` writes what is missing, and fails where the code says something else than a file. Delete a
file to have it written anew: a format has then changed, and old evidence of that kind no longer holds. Sealed boxes and
compressed bytes differ from run to run and from library to library. They were made once, stay as they are, and are
only read.
"""
