mayfly_bench(wake_cost SOURCES wake_cost.cc LIBS mayfly_scheduler)
