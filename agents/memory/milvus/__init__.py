"""The memory's store on Milvus: milvus-lite's server, standalone or distributed."""
