# `make matrix` runs a fast part of the suite with the oldest supported DuckDB and with every installed newer Python, in
# another time zone, from another folder, in a home with an odd name. Each environment is created once, under .matrix/.
MATRIX_DUCKDB ?= 1.5.6
MATRIX_PYTHONS ?= $(foreach v,3.12 3.13 3.14,$(or \
	$(shell python$(v) -c 'import sys; print(sys.executable)' 2>/dev/null), \
	$(lastword $(sort $(wildcard $(HOME)/.pyenv/versions/$(v).*/bin/python$(v))))))
MATRIX_TZ ?= Pacific/Chatham
MATRIX_TESTS ?= tests/unit tests/robustness/test_retention.py tests/robustness/test_verify.py \
	tests/robustness/test_old_homes.py tests/robustness/test_moved_home.py \
	tests/robustness/test_fuzz_parquet.py tests/integration/test_main_job.py \
	tests/integration/test_native.py
MATRIX_RUN = TEST_TZ=$(MATRIX_TZ) $(1)/bin/python -m pytest \
	-q -n $(JOBS) --dist loadfile -p no:cacheprovider --basetemp '.matrix/größe & co' $(MATRIX_TESTS)

.PHONY: matrix matrix-duckdb matrix-pythons

matrix: matrix-duckdb matrix-pythons

matrix-duckdb: .matrix/duckdb-$(MATRIX_DUCKDB)/installed
	$(call MATRIX_RUN,.matrix/duckdb-$(MATRIX_DUCKDB))

matrix-pythons: $(foreach p,$(MATRIX_PYTHONS),matrix-run-$(notdir $(p)))
	@echo "Pythons run: $(or $(notdir $(MATRIX_PYTHONS)),none newer than this one is installed)"

.matrix/duckdb-%/installed: pyproject.toml
	$(PYTHON) -m venv .matrix/duckdb-$*
	.matrix/duckdb-$*/bin/python -m pip install --quiet --editable '.[test]' 'duckdb==$*'
	@touch $@

define MATRIX_PYTHON
.PHONY: matrix-run-$(notdir $(1))
.matrix/$(notdir $(1))/installed: pyproject.toml
	$(1) -m venv .matrix/$(notdir $(1))
	.matrix/$(notdir $(1))/bin/python -m pip install --quiet --editable '.[test]'
	@touch $$@
matrix-run-$(notdir $(1)): .matrix/$(notdir $(1))/installed
	$(call MATRIX_RUN,.matrix/$(notdir $(1)))
endef
$(foreach p,$(MATRIX_PYTHONS),$(eval $(call MATRIX_PYTHON,$(p))))
