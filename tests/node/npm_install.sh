#!/usr/bin/env bash
# npm_install.sh NPM NODE PACKAGE WORK: npm packs the folder of the package and installs it without a network, and it
# works from there, in modules of both kinds.
set -euo pipefail

npm=$1
node=$2
package=$3
work=$4
rm -rf "$work"
mkdir -p "$work/project"
"$npm" pack --silent --cache "$work/cache" --pack-destination "$work" "$package"
cd "$work/project"
echo '{"private": true}' > package.json
"$npm" install --silent --offline --no-audit --no-fund --cache "$work/cache" "$work"/attune-*.tgz
cat > first.js << 'END'
const attune = require('attune');
const { version } = require('attune/package.json');
if (attune.version !== version) throw new Error(`expected ${version}, found ${attune.version}`);
if (!require.resolve('attune').startsWith(__dirname)) throw new Error(require.resolve('attune'));
END
cat > second.mjs << 'END'
import { Recommender, simdLevel } from 'attune';
await Recommender.open('no such model').then(() => { throw new Error('opened'); }, (error) => {
  if (error.code !== 'io_error') throw error;
});
console.log(simdLevel());
END
"$node" first.js
"$node" second.mjs
