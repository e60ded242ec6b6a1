"""The paper's roadmap: its tables as rows, the settings of each, and the runs that train them for comparison."""
