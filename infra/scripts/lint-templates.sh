#!/usr/bin/env bash
# Runs cfn-lint and checkov on the templates of every variant, and on those that are deployed by hand.
set -euo pipefail
cd "$(dirname "$0")/.."

templates=$(mktemp -d)
trap 'rm -rf "$templates"' EXIT
node --import tsx test/support/write-templates.ts "$templates"

# W3005: the CDK adds a DependsOn also where a reference implies it.
scripts/python.sh scripts/requirements-lint.txt cfn-lint --ignore-checks W3005 -- "$templates"/*/*.template.json ./*.yaml
echo "cfn-lint: $(ls "$templates"/*/*.template.json ./*.yaml | wc -l) templates are clean"

# Findings that do not apply are acknowledged in the metadata of their resource.
cp ./*.yaml "$templates"
scripts/python.sh scripts/requirements-checkov.txt checkov --directory "$templates" --framework cloudformation \
    --skip-download --compact --quiet
echo 'checkov: no finding that is not acknowledged'
