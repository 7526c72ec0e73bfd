// Creates a container by Azure's own client.
//
//     azure_container.mjs MODULES ENDPOINT CONTAINER
//
// MODULES is the folder that holds @azure/storage-blob; the account and its key are those that every emulator has.

import { createRequire } from "node:module";

const [modules, endpoint, container] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { BlobServiceClient, StorageSharedKeyCredential } = require("@azure/storage-blob");
const { AZURE_STORAGE_ACCOUNT_NAME: account, AZURE_STORAGE_ACCOUNT_KEY: key } = process.env;
const service = new BlobServiceClient(endpoint, new StorageSharedKeyCredential(account, key));
await service.getContainerClient(container).create();
