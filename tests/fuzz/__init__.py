"""A fuzzer of the gateway's wire: bytes that a grammar makes and chance breaks, against promises of each part."""
