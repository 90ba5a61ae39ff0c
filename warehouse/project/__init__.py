"""The dbt project as values: the built-in models, and the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.project.built import built_project, keep_project, with_user_models
    from warehouse.project.compiled import (
        RATED,
        TICK_SOURCES,
        CompiledModel,
        CompiledProject,
        DataTest,
        broken_test,
        kept_compiled,
        project_key,
        shipped_or_kept,
        tick_datasets,
        tick_day_macros,
        tick_macros,
        tick_sources,
        write_compiled,
    )
    from warehouse.project.lines import at_line
    from warehouse.project.model_texts import holds_query, model_for_dbt
    from warehouse.project.own_yml import NeedsDbt
    from warehouse.project.project import (
        BAR_END,
        BuiltModel,
        Model,
        Project,
        bar_end_in,
        create_bar_end,
        create_schemas,
        create_seeds,
        create_views,
        load_project,
    )
    from warehouse.project.render import Renderer
    from warehouse.project.rendered_models import build_rendered_models
    from warehouse.project.sandbox import TemplateMistake, UnsupportedTemplate
    from warehouse.project.user_models import (
        OUR_SCHEMAS,
        PACKAGE,
        forget_user_models,
        readable_project,
        run_user_models,
        user_model_files,
        write_page,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
