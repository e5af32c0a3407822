# The library with its tests, and FoundationDB's client library. Used by compose.test.yaml.

ARG FDB_VERSION=7.3.63
FROM foundationdb/foundationdb:${FDB_VERSION} AS foundationdb

FROM python:3.12-slim
COPY --from=foundationdb /usr/lib/libfdb_c.so /usr/local/lib/
RUN ldconfig
WORKDIR /recordlayer
COPY . .
RUN pip install --no-cache-dir --editable '.[test]'
CMD ["python", "-m", "pytest"]
